"""Where a line or plane should be measured next: a coarse pass, then bisection where the landscape moves. Pure.

Places are indices into the fine grid. What is asked next depends only on what was measured, never on the order in which
it came, so a run that was killed goes on as it would have. A bisection sees what its coarse pass meets: an island of
fewer steps than `COARSE` between two places that are alike stays unseen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise, product

__all__ = ["default_budget", "next_places", "start_places"]

COARSE = 5
"""Steps of the fine grid between two places of the coarse pass, at most."""
TOLERANCE = 0.005
"""Share of the whole margin that one cell may be wrong by before it is split."""
LIMIT = 0.5
"""The rate whose crossing is the rim: a cell that holds it is split down to the fine grid."""

SHORT = 9
"""Places of a line that are never too many, the origin included."""
_SHARE = 0.5
"""A cell worth less than this share of the best waits for the next round, which may know better."""

Index = tuple[int, ...]
Values = tuple[float, ...]
"""ASR at a place, one for each curve that is refined together; NaN where missing."""
Cell = tuple[tuple[int, int], ...]
"""(low, high) on each axis, both measured or to be measured."""


def default_budget(shape: Sequence[int]) -> int:
    """The most places of one line or plane, the origin included.

    Half of a line's grid beside the origin, which all lines share, and of a short one up to `SHORT`: its few gaps are
    too wide to be guessed across a rim. A quarter of a plane's grid.
    """
    size = math.prod(shape)
    return max(size // 2 + 1, min(size, SHORT)) if len(shape) == 1 else max(size // 4, 2 ** len(shape) + 1)


def start_places(shape: Sequence[int], origin: Sequence[int | None], budget: int) -> tuple[Index, ...]:
    """The coarse pass: the ends, the origin, and evenly between them; fewer where the budget is small.

    Args:
        shape: points of the fine grid on each axis.
        origin: index of α = 0 on each axis, None where the grid does not hold it.
        budget: the most places.
    """
    coarse = COARSE
    while True:
        places = tuple(product(*_coarse_axes(shape, origin, coarse)))
        if len(places) <= budget or coarse >= max(shape):
            return places
        coarse *= 2


def next_places(
    measured: Mapping[Index, Values], shape: Sequence[int], origin: Sequence[int | None], budget: int
) -> tuple[Index, ...]:
    """The places that are worth measuring next, the most worthy first; none where the landscape is known well enough.

    Args:
        measured: values at the places measured so far, the coarse pass among them.
        shape: as in `start_places`.
        origin: as in `start_places`.
        budget: the most places in all, those measured included.
    """
    splits = _line_splits(measured) if len(shape) == 1 else _plane_splits(measured, shape, origin, budget)
    size = math.prod(shape)
    ranked = sorted((-worth, leaf, new) for leaf, new in splits if (worth := _worth(leaf, measured, size)) > 0)
    wanted: dict[Index, None] = {}
    for worth, _, new in ranked:
        fresh = [place for place in new if place not in measured and place not in wanted]
        if worth > _SHARE * ranked[0][0] or len(measured) + len(wanted) + len(fresh) > budget:
            break
        wanted.update(dict.fromkeys(fresh))
    return tuple(wanted)


def _line_splits(measured: Mapping[Index, Values]) -> Iterator[tuple[Cell, tuple[Index, ...]]]:
    """Each gap between two measured places and the place that halves it.

    Where a gap has no middle, the half on the side where the curve moves is the smaller one.
    """
    places = sorted(measured)
    steepness = [_spread((measured[low], measured[high]))[0] / (high[0] - low[0]) for low, high in pairwise(places)]
    for number, (low, high) in enumerate(pairwise(places)):
        before = steepness[number - 1] if number > 0 else 0.0
        after = steepness[number + 1] if number + 1 < len(steepness) else 0.0
        middle = (low[0] + high[0] + (after > before)) // 2
        yield ((low[0], high[0]),), ((middle,),)


def _plane_splits(
    measured: Mapping[Index, Values], shape: Sequence[int], origin: Sequence[int | None], budget: int
) -> Iterator[tuple[Cell, tuple[Index, ...]]]:
    """Each cell that is not split yet, and the places that split it."""
    coarse = start_places(shape, origin, budget)
    axes = [sorted({place[axis] for place in coarse}) for axis in range(len(shape))]
    for cell in product(*(tuple(pairwise(axis)) for axis in axes)):
        for leaf in _leaves(cell, measured):
            yield leaf, _split(leaf)


def _coarse_axes(shape: Sequence[int], origin: Sequence[int | None], coarse: int) -> Iterator[list[int]]:
    for n, zero in zip(shape, origin, strict=True):
        anchors = sorted({0, n - 1} | ({zero} if zero is not None else set()))
        axis: set[int] = {anchors[0]}
        for low, high in pairwise(anchors):
            parts = max(1, math.ceil((high - low) / coarse))
            axis |= {low + (high - low) * i // parts for i in range(parts + 1)}
        yield sorted(axis)


def _leaves(cell: Cell, measured: Mapping[Index, Values]) -> Iterator[Cell]:
    """The smallest cells of which every corner is asked for: a cell is split once all places of its split are there."""
    inner = _split(cell)
    if not inner or any(place not in measured for place in inner):
        yield cell
        return
    for part in product(*(_halves(side) for side in cell)):
        yield from _leaves(part, measured)


def _halves(side: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    low, high = side
    middle = (low + high) // 2
    return ((low, middle), (middle, high)) if high - low > 1 else (side,)


def _split(cell: Cell) -> tuple[Index, ...]:
    """The places that split a cell: middles of its sides that are longer than a step; none for a cell of the grid."""
    axes = [sorted({low, (low + high) // 2, high}) for low, high in cell]
    corners = set(product(*cell))
    return tuple(place for place in product(*axes) if place not in corners)


def _worth(cell: Cell, measured: Mapping[Index, Values], size: int) -> float:
    """By how much of the margin a cell may be wrong; 0 where that is too little and it does not hold the rim."""
    inside = math.prod(high - low + 1 for low, high in cell) - 2 ** len(cell)
    if inside <= 0:
        return 0.0
    spread, holds_rim = _spread(measured[corner] for corner in product(*cell))
    wrong = inside * spread / size
    return wrong if wrong > TOLERANCE or holds_rim else 0.0


def _spread(corners: Iterable[Values]) -> tuple[float, bool]:
    """Largest difference between corners over all curves, and whether one crosses the limit; missing ones differ."""
    spread, holds_rim = 0.0, False
    for curve in zip(*corners, strict=True):
        if any(math.isnan(value) for value in curve):
            return 1.0, True
        low, high = min(curve), max(curve)
        spread = max(spread, high - low)
        holds_rim = holds_rim or low < LIMIT <= high
    return spread, holds_rim
