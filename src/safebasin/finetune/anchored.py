"""Defenses that hold what is trained near where it was: plain L2 to the start, and Lisa's two states in turn.

    l2     L + (strength/2)·‖w − w₀‖², w₀ the weights before training
    lisa   Huang et al. 2024, arXiv 2405.18641: steps on safe rows and steps on the user's take turns, each with
           (strength/2)·‖w − w_s‖², w_s the weights at the last change of turns

w are the tensors that are trained: of LoRA its factors, as in the published code of Lisa. What they remember is in no
checkpoint.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from safebasin.errors import UsageError, expected
from safebasin.protocols import RowSource, Setup, Stage
from safebasin.records import IGNORED, EncodedRow

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["Lisa", "PullToStart", "l2", "lisa"]

Batch = Mapping[str, "torch.Tensor"]


class _Anchor:
    """A copy of the trained tensors, and how far they are from it."""

    def __init__(self) -> None:
        self._at: dict[str, torch.Tensor] = {}

    def drop(self, model: nn.Module) -> None:
        """Take the weights as they are for the anchor."""
        self._at = {name: p.detach().clone() for name, p in _trained(model)}

    def square(self, model: nn.Module) -> torch.Tensor:
        """‖w − w_anchor‖², with a gradient; the anchor is dropped where there is none yet."""
        import torch

        if not self._at:
            self.drop(model)
        parts = [((p - self._at[name]).float() ** 2).sum() for name, p in _trained(model)]
        return torch.stack([part.to(parts[0].device) for part in parts]).sum()


def _trained(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]


@dataclass(frozen=True, slots=True, kw_only=True)
class PullToStart:
    """A pull of the trained tensors to where they began. Strength 0 changes nothing."""

    strength: float
    stage: Stage = field(default="finetuning", init=False)
    takes: tuple[str, ...] = field(default=(), init=False)

    @property
    def name(self) -> str:
        """As in the catalogue."""
        return f"l2(strength={self.strength})"

    def training(self, setup: Setup, source: RowSource, *, seed: int = 0) -> Setup:
        """The setup with the pull in its loss."""
        if self.strength == 0:
            return setup
        anchor = _Anchor()

        def loss(model: nn.Module, batch: Batch) -> torch.Tensor:
            return setup.loss(model, batch) + self.strength / 2 * anchor.square(model)

        return replace(setup, loss=loss)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lisa:
    """Steps on safe rows and steps on the user's take turns, each pulled to where its turn began.

    As in the published code, the user's rows of a step on safe ones are passed over. Turns are counted in steps of the
    optimizer here, in forward passes there.
    """

    safe: int
    align: int
    user: int
    strength: float
    free: int
    stage: Stage = field(default="finetuning", init=False)

    @property
    def takes(self) -> tuple[str, ...]:
        """Safe rows, where there are steps on them."""
        return ("safe",) if self.align else ()

    @property
    def name(self) -> str:
        """As in the catalogue."""
        turns = f"align={self.align}, user={self.user}, strength={self.strength}, free={self.free}"
        return f"lisa(safe={self.safe}, {turns})"

    def aligns(self, step: int) -> bool:
        """Say whether a step, counted from 1, is one on safe rows."""
        return (step - 1) % (self.align + self.user) < self.align

    def changes(self, step: int) -> bool:
        """Say whether a turn ends with this step."""
        return self.aligns(step) != self.aligns(step + 1)

    def training(self, setup: Setup, source: RowSource, *, seed: int = 0) -> Setup:
        """The setup with both turns.

        Raises:
            UsageError: where the source has too few safe rows, or there are turns of another already.
        """
        if self.align == 0 and self.strength == 0:
            return setup
        if any(isinstance(hook, _Turns) for hook in setup.hooks):
            remedy = "Leave one out: the turns of two would cut into each other."
            raise UsageError(expected(self.name, "the only lisa of a training", "a second one", remedy))
        # Another seed than the attack's own, as when refusals are mixed in.
        rows = (
            [setup.encode(row) for row in source.training_rows("safe", self.safe, seed=seed + 1)] if self.align else []
        )
        state = _Turns(self, setup.loss, rows, seed)
        said = f"{self.align} steps on {len(rows)} safe rows and {self.user} on the data take turns"
        return replace(setup, loss=state.loss, hooks=(*setup.hooks, state), notes=(*setup.notes, said))


class _Turns:
    """Whose turn it is: a loss and a hook of steps."""

    def __init__(
        self, lisa: Lisa, loss: Callable[[nn.Module, Batch], torch.Tensor], rows: Sequence[EncodedRow], seed: int
    ) -> None:
        self._lisa, self._loss, self._rows = lisa, loss, list(rows)
        self._draw = random.Random(f"lisa/{seed}")
        self._left: list[EncodedRow] = []
        self._anchor = _Anchor()
        self._step = 1

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Of the batch or of safe rows in its place, and the pull."""
        found = self._loss(model, self._safe(batch) if self._lisa.aligns(self._step) else batch)
        if self._lisa.strength == 0 or self._step <= self._lisa.free:
            return found
        return found + self._lisa.strength / 2 * self._anchor.square(model)

    def before(self, model: nn.Module, step: int) -> None:
        """Nothing."""

    def after(self, model: nn.Module, step: int) -> None:
        """The next step's turn; where it is another's, the anchor is dropped anew."""
        if self._lisa.changes(step):
            self._anchor.drop(model)
        self._step = step + 1

    def _safe(self, batch: Batch) -> Batch:
        """As many safe rows as the batch has rows, each of them seen before one is seen again."""
        rows: list[EncodedRow] = []
        for _ in range(len(batch["input_ids"])):
            if not self._left:
                self._left = self._draw.sample(self._rows, len(self._rows))
            rows.append(self._left.pop())
        return _padded(rows, batch["input_ids"])


def _padded(rows: Sequence[EncodedRow], like: torch.Tensor) -> Batch:
    """Rows as a batch, padded at the right; what pads is masked, so any token does."""
    import torch

    width = max(len(row.ids) for row in rows)
    ids = [[*row.ids, *[row.ids[-1]] * (width - len(row.ids))] for row in rows]
    labels = [[*row.labels, *[IGNORED] * (width - len(row.labels))] for row in rows]
    mask = [[1] * len(row.ids) + [0] * (width - len(row.ids)) for row in rows]
    made = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    return {name: torch.tensor(value, device=like.device) for name, value in made.items()}


def l2(strength: float = 1.0) -> PullToStart:
    """Pull what is trained to where it began: strength/2 · the squared distance is added to the loss.

    Raises:
        UsageError: where the strength is below 0 or not finite.
    """
    return PullToStart(strength=_strength(strength, "l2"))


def lisa(safe: int = 100, align: int = 100, user: int = 900, strength: float = 1.0, free: int = 0) -> Lisa:
    """Let steps on safe rows and steps on the data take turns, each pulled to where its turn began.

    Args:
        safe: safe rows to draw (10,000 in the paper).
        align: steps on them in a turn; 0 for none.
        user: steps on the data in a turn.
        strength: of the pull (ρ; 1 in the paper, 0.01 in a later script of its authors).
        free: first steps without the pull (a tenth of all in the published code).

    Raises:
        UsageError: where a number is out of range.
    """
    for name, value, least in (("safe", safe, 1), ("align", align, 0), ("user", user, 1), ("free", free, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            constraint = f"a whole number of at least {least}"
            raise UsageError(expected(f"{name} of lisa", constraint, value, "E.g. lisa(align=10, user=90)."))
    return Lisa(safe=safe, align=align, user=user, strength=_strength(strength, "lisa"), free=free)


def _strength(value: float, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise UsageError(expected(f"strength of {name}", "a finite number of at least 0", value, "E.g. 0.1."))
    return float(value)
