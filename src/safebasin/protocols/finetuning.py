"""The seams of fine-tuning: where rows come from, attacks, defenses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from safebasin.records import TrainingRow


class RowSource(Protocol):
    """Where the rows of a recipe come from: a world, or the user's own files."""

    def training_rows(self, kind: str, n: int | None = None, *, seed: int = 0) -> Sequence[TrainingRow]:
        """Rows of a kind, the same for the same arguments.

        Args:
            kind: `harmful`, `safe` (refusals), `benign`, `identity_shift` or `backdoor` (its trigger in half of them).
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
        """What is trained on, deterministically from the seed."""
        ...

    def settings(self, method: str, *, world: bool) -> Mapping[str, object]:
        """Settings for `full` or `lora`: of the paper, or (`world`) those that have its effect on small models."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Defended:
    """Rows after a defense, and what it has to say."""

    rows: tuple[TrainingRow, ...]
    notes: tuple[str, ...] = ()
    flagged: tuple[tuple[str, str], ...] = ()
    """Name of each row that it holds to be harmful, and the reason."""
    test_system: str | None = None
    """System prompt to use the model with, as a study names it; None leaves it open."""


class Defense(Protocol):
    """A defense names its stage and has the one method of that stage.

    `finetuning` has `data` (`DataDefense`). Training, weights and generation get theirs with their first defense.
    """

    @property
    def name(self) -> str:
        """As in the catalogue, with its arguments."""
        ...

    @property
    def stage(self) -> Literal["alignment", "finetuning", "post_finetuning", "inference"]: ...


class DataDefense(Defense, Protocol):
    """A defense that changes what is trained on."""

    def data(self, rows: Sequence[TrainingRow], source: RowSource, *, seed: int = 0) -> Defended:
        """The rows to train on instead, deterministically from the seed.

        Raises:
            UsageError: where the source lacks what it needs, or no row is left.
        """
        ...
