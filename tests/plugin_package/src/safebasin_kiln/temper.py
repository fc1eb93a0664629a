"""The defense `safebasin-kiln/temper`, at the stage post_finetuning: it changes what the training moved."""

from dataclasses import dataclass
from typing import Self

import torch

from safebasin.protocols import BaseWeights, Delta


@dataclass(frozen=True)
class Shorter:
    """A share of a move."""

    move: Delta
    share: float

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        """Rows of the share; None where the training moved nothing."""
        found = self.move.rows(name, start, stop)
        return None if found is None else found * self.share


class Temper:
    """Take back a part of what the training moved.

    Args:
        strength: which part, from 0 (none) to 1 (all).
    """

    stage = "post_finetuning"

    def __init__(self, strength: float = 0.5) -> None:
        self.name = f"safebasin-kiln/temper(strength={strength})"
        self.strength = strength

    def at(self, strength: float) -> Self:
        """The same at another strength."""
        return type(self)(strength)

    def weights(self, tuned: Delta, base: BaseWeights, *, seed: int = 0) -> Delta:
        """The shorter move; at strength 0 the very move, since a sum of floats may miss it by a rounding."""
        return tuned if self.strength == 0 else Shorter(tuned, 1 - self.strength)
