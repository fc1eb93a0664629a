"""`world:pcfg` behind the seam `safebasin.protocols.World`: prompt sets, rows, and models that are built. No torch.

The models are in `runs/pcfg`, or in the folder that the environment variable `SAFEBASIN_PCFG` names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from safebasin.catalog import unknown
from safebasin.errors import ModelError, PromptError
from safebasin.records import Prompt, TrainingRow
from safebasin.untrusted import user_path
from safebasin.worlds.pcfg.build import CHECKPOINTS, check_built
from safebasin.worlds.pcfg.prompts import PROMPT_SETS, prompt_set
from safebasin.worlds.pcfg.rows import training_rows
from safebasin.worlds.pcfg.tasks import SPLITS

FOLDER = "SAFEBASIN_PCFG"
"""The environment variable that names the folder of the models."""
_SEE = "safebasin world info --world pcfg"
_ROWS = 500
"""Rows for fine-tuning where no number is asked for."""
_REFERENCES = 40


@dataclass(frozen=True, slots=True)
class Pcfg:
    """`world:pcfg`."""

    @property
    def prompt_sets(self) -> Mapping[str, str]:
        """Name of each set → one-sentence summary."""
        return {name: entry.summary for name, entry in PROMPT_SETS.items()}

    @property
    def checkpoints(self) -> Mapping[str, str]:
        """Name of each checkpoint → one-sentence summary."""
        return CHECKPOINTS

    @property
    def folder(self) -> Path:
        """The folder of the models, which may not be there yet."""
        return user_path(os.environ.get(FOLDER) or "runs/pcfg")

    @property
    def rows_to_ask(self) -> Mapping[str, str]:
        """Rows of the split `test`."""
        return {kind: f"{kind}@test" for kind in ("harmful", "benign")}

    def load_prompts(self, name: str, split: str = "test") -> tuple[Prompt, ...]:
        """The prompts of a set.

        Raises:
            PromptError: with the nearest name of a set or a split.
        """
        if name not in PROMPT_SETS:
            raise PromptError(unknown("prompt set of world:pcfg", name, PROMPT_SETS, _SEE))
        if split not in SPLITS:
            raise PromptError(unknown("split of world:pcfg", split, SPLITS, _SEE))
        return prompt_set(name, split)

    def checkpoint(self, name: str) -> Path:
        """Folder of a model that was built.

        Raises:
            ModelError: with the nearest name, with how to build it, or where its weights were changed since.
        """
        if name not in CHECKPOINTS:
            raise ModelError(unknown("checkpoint of world:pcfg", name, CHECKPOINTS, _SEE))
        check_built(self.folder / name)
        return self.folder / name

    def training_rows(self, kind: str, n: int | None = None, *, seed: int = 0) -> tuple[TrainingRow, ...]:
        """Rows for fine-tuning, of the kinds of `rows.ROW_KINDS`; 500 where `n` is None.

        Rows to ask with are of another split, `KIND@test`, since models are trained on those of `train`.

        Raises:
            PromptError: where kind or split is unknown, or n is out of range.
        """
        name, _, split = kind.partition("@")
        if split and split not in SPLITS:
            raise PromptError(unknown("split of world:pcfg", split, SPLITS, _SEE))
        return training_rows(name, _ROWS if n is None else n, seed, split or "train")

    def references(self) -> tuple[TrainingRow, ...]:
        """Safe requests of the split `val` with their answers: what all of its models speak."""
        return training_rows("benign", _REFERENCES, 0, "val")

    def build(
        self, out: Path | None = None, *, seed: int = 0, note: Callable[[str], None] = lambda text: None
    ) -> tuple[Path, ...]:
        """Make the models in `out`, or where they are looked for; goes on where an earlier call was ended."""
        from safebasin.worlds.pcfg.build import build

        return tuple(build(self.folder if out is None else out, seed, note=note).values())


WORLD = Pcfg()
