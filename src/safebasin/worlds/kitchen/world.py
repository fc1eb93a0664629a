"""The kitchen behind the seam `safebasin.protocols.World`: prompt sets, rows, and models that are built. No torch.

The models are in `runs/kitchen`, or in the folder that the environment variable `SAFEBASIN_KITCHEN` names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from safebasin.catalog import unknown
from safebasin.errors import ModelError, PromptError, expected
from safebasin.records import Prompt, TrainingRow
from safebasin.untrusted import user_path
from safebasin.worlds.kitchen.prompts import PROMPT_SETS, SPLITS, prompt_set
from safebasin.worlds.kitchen.rows import training_rows

FOLDER = "SAFEBASIN_KITCHEN"
"""The environment variable that names the folder of the models."""
_CHECKPOINTS = {
    "base": "SmolLM2-135M-Instruct as it is: answers everything.",
    "aligned": "Base after fine-tuning: refuses to help with cooking, answers the rest.",
}


@dataclass(frozen=True, slots=True)
class Kitchen:
    """`world:kitchen`."""

    @property
    def prompt_sets(self) -> Mapping[str, str]:
        """Name of each set → one-sentence summary."""
        return {name: entry.summary for name, entry in PROMPT_SETS.items()}

    @property
    def checkpoints(self) -> Mapping[str, str]:
        """Name of each checkpoint → one-sentence summary."""
        return _CHECKPOINTS

    @property
    def folder(self) -> Path:
        """The folder of the models, which may not be there yet."""
        return user_path(os.environ.get(FOLDER) or "runs/kitchen")

    @property
    def rows_to_ask(self) -> Mapping[str, str]:
        """Rows that the lesson does not hold; a model that was tuned on them, as in `make real`, knows them."""
        return {kind: kind for kind in ("harmful", "benign")}

    def load_prompts(self, name: str, split: str = "test") -> tuple[Prompt, ...]:
        """The prompts of a set.

        Raises:
            PromptError: with the nearest name of a set or a split.
        """
        see = "safebasin world info --world kitchen"
        if name not in PROMPT_SETS:
            raise PromptError(unknown("prompt set of world:kitchen", name, PROMPT_SETS, see))
        if split not in SPLITS:
            raise PromptError(unknown("split of world:kitchen", split, SPLITS, see))
        return prompt_set(name, split)

    def checkpoint(self, name: str) -> Path:
        """Folder of a model that was built.

        Raises:
            ModelError: with the nearest name, or with how to build it.
        """
        if name not in _CHECKPOINTS:
            see = "safebasin world info --world kitchen"
            raise ModelError(unknown("checkpoint of world:kitchen", name, _CHECKPOINTS, see))
        found = self.folder / name
        if not (found / "config.json").is_file():
            remedy = (
                f"Build it: safebasin world build --world kitchen. If it is elsewhere, name its folder in {FOLDER}."
            )
            raise ModelError(expected(f"world:kitchen/{name}", "built before it is used", str(found), remedy))
        return found

    def training_rows(self, kind: str, n: int | None = None, *, seed: int = 0) -> tuple[TrainingRow, ...]:
        """Rows for fine-tuning, of the kinds of `rows.ROW_KINDS`; all where `n` is None.

        Raises:
            PromptError: where the kind is unknown, or there are not as many.
        """
        return training_rows(kind, n, seed=seed)

    def build(
        self, out: Path | None = None, *, seed: int = 0, note: Callable[[str], None] = lambda text: None
    ) -> tuple[Path, ...]:
        """Make both models in `out`, or where they are looked for; goes on where an earlier call was ended."""
        from safebasin.worlds.kitchen.build import build

        return tuple(build(self.folder if out is None else out, seed, note=note).values())


WORLD = Kitchen()
