"""Planes: the second direction is made orthogonal to the first over the whole model.

Whole-model Gram–Schmidt; one that leads somewhere then takes the norm of the first (Peng et al. 2024, §3), one that is
drawn keeps its own. Random noise is made orthogonal tensor by tensor instead: that is in `directions`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from safebasin.errors import ModelError, expected
from safebasin.protocols import BaseWeights, Delta
from safebasin.weights.layout import row_blocks

__all__ = ["OrthogonalDelta", "inner_product", "orthogonal"]

_PARALLEL = 1e-5
"""Share of the norm of a second direction below which what is left of it is the rounding of float32 checkpoints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrthogonalDelta:
    """scale · (d − Σ cᵢ·otherᵢ), in float64."""

    delta: Delta
    minus: tuple[tuple[Delta, float], ...]
    scale: float = 1.0

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        """Rows of d̂, or None where neither it nor the others move the tensor."""
        parts = [(1.0, self.delta.rows(name, start, stop))]
        parts += [(-coefficient, other.rows(name, start, stop)) for other, coefficient in self.minus]
        moved = [factor * rows.double() for factor, rows in parts if rows is not None]
        return self.scale * sum(moved[1:], moved[0]) if moved else None


def orthogonal(delta: Delta, others: Sequence[Delta], base: BaseWeights, *, keeps_norm: bool = False) -> Delta:
    """Whole-model Gram–Schmidt against directions that are orthogonal to each other, then the norm of the first.

    Args:
        delta: what is made orthogonal.
        others: to what.
        base: θ₀.
        keeps_norm: whether it is scaled to its own norm instead, as one that is drawn.

    Raises:
        ModelError: where the first is zero, or nothing but rounding is left.
    """
    if not others:
        return delta
    squares = [inner_product(other, other, base) for other in others]
    if squares[0] == 0:
        raise ModelError(expected("first direction", "different from zero", 0.0, "Take another checkpoint."))
    coefficients = [inner_product(delta, o, base) / s if s > 0 else 0.0 for o, s in zip(others, squares, strict=True)]
    found = OrthogonalDelta(delta=delta, minus=tuple(zip(others, coefficients, strict=True)))
    rest, own = inner_product(found, found, base), inner_product(delta, delta, base)
    if rest <= _PARALLEL**2 * own:
        remedy = "Take two targets that do not lie on one line with the model, or draws of another seed."
        shown = f"residual norm {math.sqrt(rest):.3g}"
        raise ModelError(expected("directions of a plane", "not parallel", shown, remedy))
    return OrthogonalDelta(delta=delta, minus=found.minus, scale=math.sqrt((own if keeps_norm else squares[0]) / rest))


def inner_product(left: Delta, right: Delta, base: BaseWeights, names: Sequence[str] | None = None) -> float:
    """Inner product over the whole model, or these of its tensors, in float64."""
    found: list[float] = []
    for name in base.names if names is None else names:
        for start, stop in row_blocks(base.shape(name)):
            a = left.rows(name, start, stop)
            b = a if left is right else right.rows(name, start, stop)
            if a is not None and b is not None:
                found.append(float((a.double() * b.double()).sum()))
    return math.fsum(found)
