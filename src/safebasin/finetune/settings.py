"""How a model is fine-tuned: settings, their ranges and their defaults. AdamW throughout. No torch.

Defaults without an attack are those of the paper's benign fine-tuning (Qi et al. 2023, §4.4), at a batch for one
machine; attacks bring their own (`attacks`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Literal

from safebasin.errors import UsageError, expected

__all__ = ["MOST_PASSES", "Tuning", "check_passes"]

Method = Literal["full", "lora"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """Settings of a fine-tuning run. Batches are counted over all processes."""

    method: Method = "full"
    learning_rate: float = 2e-5
    epochs: int = 1
    steps: int | None = None
    """Steps of the optimizer, in place of epochs: the rows are gone through as often as they take."""
    batch_size: int = 16
    """Rows of an optimizer step, over all processes."""
    micro_batch: int | None = None
    """Rows of a forward pass in each process; divides its share of the batch, which is taken whole if None."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Of the learning rate, without warm-up; `linear` and `cosine` fall to 0."""
    weight_decay: float = 0.0
    clip: float = 1.0
    """Norm at which gradients are clipped."""
    rank: int = 8
    """Of LoRA; without effect on full fine-tuning."""
    alpha: float = 16.0
    """LoRA scaling is alpha / rank."""
    targets: str | tuple[str, ...] = "all-linear"
    """Modules that LoRA adapts, as PEFT reads them; `all-linear` leaves the output layer out."""
    max_length: int | None = None
    """Tokens of a row, at most; the context of the model if None."""
    over_long: Literal["drop", "keep"] = "drop"
    """What happens to longer rows: never cut. Those longer than the context are dropped in any case."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the weights while they are trained, and as saved; for `auto` see `models.dtypes.training_dtype`."""
    save: Literal["epoch", "doubling", "no"] = "epoch"
    """A checkpoint per epoch; one after 1, 2, 4, 8, … steps, weights alone; or the result alone."""
    seed: int = 0
    """Of the order of rows and LoRA's initial weights."""

    def check(self) -> None:
        """Raises: UsageError naming the first setting that is out of range."""
        choices = {"method": ("full", "lora"), "schedule": ("constant", "linear", "cosine"),
                   "dtype": ("auto", "float32", "bfloat16"), "over_long": ("drop", "keep"),
                   "save": ("epoch", "doubling", "no")}  # fmt: skip
        for name, known in choices.items():
            if getattr(self, name) not in known:
                _fail(name, f"one of {', '.join(known)}", getattr(self, name), "Choose one of them.")
        for name, most in _MOST.items():
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                _fail(name, "a whole number of at least 1", value, "Raise it.")
            if value is not None and value > most:
                _fail(name, f"at most {most:,}", value, "Lower it.")
        for name in ("learning_rate", "alpha", "clip"):
            if not 0 < getattr(self, name) < math.inf:
                _fail(name, "above 0 and finite", getattr(self, name), "Change it.")
        if not 0 <= self.weight_decay < 1:
            _fail("weight_decay", "at least 0 and below 1", self.weight_decay, "Change it.")
        if not 0 <= self.seed < 2**32:
            _fail("seed", "in [0, 2³²)", self.seed, "Change it.")

    def changed(self, **changes: object) -> Tuning:
        """These settings with those of `changes` that are not None.

        Raises:
            UsageError: where a setting is not known or out of range.
        """
        known = [field.name for field in fields(self)]
        for name in changes:
            if name not in known:
                _fail("the setting", f"one of {', '.join(known)}", name, "Choose one of them.")
        made = replace(self, **{k: v for k, v in changes.items() if v is not None})  # pyright: ignore[reportArgumentType]
        made.check()
        return made

    def per_process(self, processes: int) -> tuple[int, int]:
        """Rows of a forward pass in each process, and forward passes of a step.

        Raises:
            UsageError: where the batch does not divide so.
        """
        share, rest = divmod(self.batch_size, processes)
        if rest:
            _fail("batch_size", f"a multiple of the {processes} processes", self.batch_size, "Change it.")
        micro = share if self.micro_batch is None else self.micro_batch
        if share % micro:
            _fail("micro_batch", f"a divisor of {share}, the batch of a process", micro, "Change it.")
        return micro, share // micro


_MOST = {
    "epochs": 10_000,
    "steps": 10_000_000,
    "batch_size": 100_000,
    "rank": 100_000,
    "micro_batch": 100_000,
    "max_length": 10_000_000,
}
"""Whole numbers, each with what no training can be meant to take."""
MOST_PASSES = 100_000_000
"""Rows times epochs: at a thousand rows a second more than a day."""


def check_passes(rows: int, epochs: int) -> None:
    """Raises: UsageError where rows × epochs is more than any training can be meant to take, saying how many."""
    if rows * epochs > MOST_PASSES:
        got = f"{rows * epochs:,} ({rows:,} rows × {epochs:,} epochs)"
        _fail("rows × epochs", f"at most {MOST_PASSES:,}", got, "Take fewer rows or epochs.")


def _fail(what: str, constraint: str, value: object, remedy: str) -> None:
    raise UsageError(expected(f"{what} of fine-tuning", constraint, value, remedy))
