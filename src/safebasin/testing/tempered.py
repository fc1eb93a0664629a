"""Conformance of weight defenses: bits at strength 0, blocks, finiteness, the same move from the same seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from safebasin.protocols import BaseWeights, Defense, Delta, WeightDefense
from safebasin.records import DirectionSpec, Point
from safebasin.testing.claims import claim
from safebasin.testing.directions import check_blocks, small_weights

if TYPE_CHECKING:
    import torch

__all__ = ["check_weights"]


@dataclass(frozen=True, slots=True)
class _Moved:
    """The difference to weights a hundredth of a standard normal away in each element."""

    base: BaseWeights

    def moves(self, name: str) -> bool:
        """Every tensor moves."""
        return True

    def reached(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows of the tuned weights, in the dtype of θ₀."""
        import torch

        from safebasin.weights.noise import elements

        rows, width = self.base.rows(name, start, stop), math.prod(self.base.shape(name)[1:])
        noise = torch.from_numpy(elements(1, 0, name, start * width, stop * width, version=2)).reshape(rows.shape)
        return (rows.double() + 0.01 * noise).to(rows.dtype)

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        """Rows of the difference in float64."""
        return self.reached(name, start, stop).double() - self.base.rows(name, start, stop).double()


def check_weights(defense: Defense, base: BaseWeights | None, tuned: Delta | None) -> None:
    """Check the contract of a weight defense on a move.

    Raises:
        AssertionError: naming the first thing that does not hold.
    """
    worker, name = cast("WeightDefense", defense), defense.name
    theta = base if base is not None else small_weights()
    move: Delta = tuned if tuned is not None else _Moved(theta)
    none = worker.at(0.0)
    claim(none.strength == 0, f"strength of {name!r} at 0", "0", none.strength, "Mend `at`.")
    kept, whole = _digest(theta, none.weights(move, theta, seed=3)), _digest(theta, move)
    claim(kept == whole, f"{name!r} at strength 0", "the tuned model bit for bit", "another", "Return `tuned` itself.")
    made = worker.weights(move, theta, seed=3)
    again = worker.weights(move, theta, seed=3)
    what = f"move after {name!r}"
    claim(
        _digest(theta, made) == _digest(theta, again), what, "the same from the same seed", "another", "Use the seed."
    )
    check_blocks(made, again, theta)
    claim(_digest(theta, move) == whole, "the move that is given", "left as it is", "another", "Never write to it.")


def _digest(base: BaseWeights, delta: Delta) -> str:
    from safebasin.weights.stream import digest, weights_at

    to = DirectionSpec(kind="to", normalize="none")
    return digest(weights_at(base, Point.at((to, 1.0)), {to: delta}))
