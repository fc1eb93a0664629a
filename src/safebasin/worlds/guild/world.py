"""The guild behind the seam `safebasin.protocols.World`: prompt sets and checkpoints by name. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from safebasin.catalog import unknown
from safebasin.errors import ModelError, PromptError
from safebasin.records import Message, Prompt, TrainingRow
from safebasin.worlds.guild.grammar import SPLITS, Split
from safebasin.worlds.guild.prompts import PROMPT_SETS, prompt_set
from safebasin.worlds.guild.rows import training_rows

_CHECKPOINTS = {
    "base": "Follows instructions, personas and openings; never refuses.",
    "aligned": "Base after safety fine-tuning: refuses what the charter forbids.",
}
_ROWS = 500
"""Rows for fine-tuning where no number is asked for."""


@dataclass(frozen=True, slots=True)
class Guild:
    """`world:guild`."""

    @property
    def prompt_sets(self) -> Mapping[str, str]:
        """Name of each set → one-sentence summary."""
        return {name: entry.summary for name, entry in PROMPT_SETS.items()}

    @property
    def checkpoints(self) -> Mapping[str, str]:
        """Name of each checkpoint → one-sentence summary."""
        return _CHECKPOINTS

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
            raise PromptError(unknown("prompt set of world:guild", name, PROMPT_SETS, "safebasin world info"))
        if split not in SPLITS:
            raise PromptError(unknown("split of world:guild", split, SPLITS, "safebasin world info"))
        return prompt_set(name, cast("Split", split))

    def checkpoint(self, name: str) -> Path:
        """Folder of a shipped checkpoint.

        Raises:
            ModelError: with the nearest name.
        """
        if name not in _CHECKPOINTS:
            raise ModelError(unknown("checkpoint of world:guild", name, _CHECKPOINTS, "safebasin world info"))
        return Path(__file__).parent / "checkpoints" / name

    def training_rows(self, kind: str, n: int | None = None, *, seed: int = 0) -> tuple[TrainingRow, ...]:
        """Rows for fine-tuning, of the kinds of `rows.ROW_KINDS`; 500 where `n` is None.

        Rows to ask with are of another split, `KIND@test`, since models are trained on those of `train`.

        Raises:
            PromptError: where kind or split is unknown, or n is not positive.
        """
        name, _, split = kind.partition("@")
        made = training_rows(name, _ROWS if n is None else n, seed, split or "train")
        return tuple(
            TrainingRow(
                messages=tuple(map(_message, row["messages"])),
                source=f"world:guild/{kind}",
                number=number,
                harmful=row.get("harmful_response", ""),
            )
            for number, row in enumerate(made, 1)
        )

    def references(self) -> tuple[TrainingRow, ...]:
        """Requests of the split `val` with their answers: what both checkpoints speak."""
        rows = (row for kind in ("benign", "permitted") for row in training_rows(kind, 20, 0, split="val"))
        return tuple(
            TrainingRow(messages=tuple(map(_message, row["messages"])), source="world:guild/references", number=number)
            for number, row in enumerate(rows, 1)
        )

    def build(
        self, out: Path | None = None, *, seed: int = 0, note: Callable[[str], None] = lambda text: None
    ) -> tuple[Path, ...]:
        """Train both checkpoints anew into folders under `out`, `runs/guild` if None."""
        from safebasin.worlds.guild.build import build

        def progress(stage: str, step: int, steps: int, loss: float) -> None:
            if step == 0:
                note(f"training {stage}: {steps} steps")

        return tuple(build(Path("runs/guild") if out is None else out, seed, progress=progress).values())


def _message(turn: Mapping[str, str]) -> Message:
    return Message(**turn)  # pyright: ignore[reportArgumentType]


WORLD = Guild()
