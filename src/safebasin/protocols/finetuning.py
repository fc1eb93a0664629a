"""The seams of fine-tuning: where rows come from, and attacks. What defends against them: `defenses`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from safebasin.records import TrainingRow


class RowSource(Protocol):
    """The source of the rows of a recipe: a world, or the user's own files."""

    def training_rows(self, kind: str, n: int | None = None, *, seed: int = 0) -> Sequence[TrainingRow]:
        """Rows of a kind, the same for the same arguments.

        Args:
            kind: `harmful`, `safe` (refusals), `refused` (refusals, the harmful response in `TrainingRow.harmful`),
                `benign`, `identity_shift` or `backdoor` (its trigger in half of them).
            n: how many, ≥ 1; None takes all of a file, and as many as a world holds to be right.
            seed: which ones, and their order.

        Raises:
            UsageError: where it has no such rows, or not as many.
        """
        ...


class Attack(Protocol):
    """A recipe of fine-tuning that may break a model. What comes of it is marked unsafe."""

    @property
    def name(self) -> str:
        """As in the catalogue, with its arguments."""
        ...

    @property
    def tested_on(self) -> tuple[str, ...]:
        """Prompt sets of a world that show what it did; empty where plain harmful prompts do."""
        ...

    def rows(self, source: RowSource, *, seed: int = 0) -> tuple[TrainingRow, ...]:
        """Make the rows that are trained on, deterministically from the seed."""
        ...

    def settings(self, method: str, *, world: bool) -> Mapping[str, object]:
        """Settings for `full` or `lora`: of the paper, or (`world`) those that have its effect on small models."""
        ...
