"""Conformance of directions in a plane: the second is orthogonal to the first, whoever makes it so."""

from __future__ import annotations

import math
from dataclasses import replace

from safebasin.errors import UsageError
from safebasin.protocols import BaseWeights, Delta, Direction
from safebasin.records import DirectionSpec
from safebasin.testing.claims import claim

__all__ = ["check_orthogonal"]

_ORTHOGONAL = 1e-6
"""Cosine of two directions that are orthogonal, up to rounding."""
_REMEDY = "Draw anew for each spec.index; where you make it orthogonal yourself (orthogonalizes), mind orthogonal_to."


def check_orthogonal(
    direction: Direction, spec: DirectionSpec, base: BaseWeights, delta: Delta, *, is_drawn: bool
) -> None:
    """Check that what a study would make the second direction of a plane is orthogonal to the first.

    Args:
        direction: the direction.
        spec: the recipe; its next draw is made orthogonal to it. One that leads somewhere is, to random noise.
        base: θ₀.
        delta: of the recipe, prepared.
        is_drawn: whether it is drawn.

    Raises:
        AssertionError: where the two are parallel, or not orthogonal.
    """
    from safebasin.weights.directions import Random
    from safebasin.weights.stream import does_it_itself, orthogonal_to

    noise = DirectionSpec(kind="random", seed=spec.seed, only=spec.only)
    first, other = (spec, delta) if is_drawn else (noise, Random().prepare(noise, base))
    second = replace(spec, index=spec.index + 1 if is_drawn else spec.index, orthogonal_to=(first,))
    try:
        itself = does_it_itself(direction)
        made = direction.prepare(second, base) if itself else orthogonal_to(direction, second, base, [other])
    except UsageError as error:
        claim(False, spec.label(), f"not parallel to {first.label()}", str(error), _REMEDY)
        return
    # Nothing is orthogonal to a tensor of one element: a direction that goes tensor by tensor may leave it as drawn.
    wide = [name for name in base.names if math.prod(base.shape(name)) > 1]
    found = min(_cosine(made, other, base), _cosine(made, other, base, wide))
    claim(found <= _ORTHOGONAL, spec.label(), f"orthogonal to {first.label()}", f"a cosine of {found:.2g}", _REMEDY)


def _cosine(left: Delta, right: Delta, base: BaseWeights, names: list[str] | None = None) -> float:
    from safebasin.weights.planes import inner_product

    cross, one, other = (inner_product(a, b, base, names) for a, b in ((left, right), (left, left), (right, right)))
    return abs(cross) / math.sqrt(one * other) if one * other > 0 else 0.0
