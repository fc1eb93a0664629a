"""Variants of the guild's aligned model that differ in their safety training: on which rows, and how long. No torch.

Each is a file of rows and settings for `safebasin finetune`, from the checkpoint `base`; who wants one trains it so
(`safebasin.claims`). Nothing here trains, and no variant ships.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from safebasin.worlds.guild import variant_rows as rows_of
from safebasin.worlds.guild.rows import Row, safety_rows

__all__ = ["VARIANTS", "Variant"]

RowsOf = Callable[[int, int], list[Row]]
"""Rows from (how many, seed)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to train for safety: on what, for how long."""

    summary: str
    curriculum: RowsOf = safety_rows
    steps: int = 120
    learning_rate: float = 4e-3
    """At the first step; it falls along a cosine to 0."""
    batch_size: int = 32

    def rows(self, seed: int) -> list[Row]:
        """List what it is trained on in one pass: a batch for every step."""
        return self.curriculum(self.steps * self.batch_size, seed)

    @property
    def settings(self) -> Mapping[str, object]:
        """Fields of `safebasin.finetune.settings.Tuning`."""
        return {"learning_rate": self.learning_rate, "batch_size": self.batch_size, "epochs": 1,
                "schedule": "cosine", "weight_decay": 0.3}  # fmt: skip


def _in_small_batches() -> dict[str, Variant]:
    """The curricula in batches of 16, for two more lengths: so that an order has enough models, at half the cost."""
    curricula = {"full": safety_rows, "few_refusals": rows_of.few_refusals, "few_requests": rows_of.few_requests,
                 "one_wording": rows_of.one_wording, "no_personas": rows_of.without_personas,
                 "plain_only": rows_of.plain_only}  # fmt: skip
    return {
        f"{name}_small{steps}": Variant(
            summary=f"as {name}, {steps} steps of 16 rows", curriculum=rows, steps=steps, batch_size=16
        )
        for name, rows in curricula.items()
        for steps in (120, 180)
    }


VARIANTS: dict[str, Variant] = {
    "full": Variant(summary="the whole safety curriculum, 120 steps"),
    "steps100": Variant(summary="the whole curriculum, 100 steps", steps=100),
    "steps80": Variant(summary="the whole curriculum, 80 steps", steps=80),
    "low_rate": Variant(summary="the whole curriculum at half the rate", learning_rate=2e-3),
    "few_refusals": Variant(
        summary="one row in four a refusal, instead of every second", curriculum=rows_of.few_refusals
    ),
    "few_requests": Variant(summary="256 different rows only", curriculum=rows_of.few_requests),
    "one_wording": Variant(summary="one wording of refusal, instead of thirty", curriculum=rows_of.one_wording),
    "no_personas": Variant(summary="no personas in the safety data", curriculum=rows_of.without_personas),
    "plain_only": Variant(
        summary="plain requests only: no personas, places, rules of style, openings", curriculum=rows_of.plain_only
    ),
    **_in_small_batches(),
}
"""Name → variant."""
