"""The planes of a panel, as plain numbers: what figures, page and terminal all draw. Pure; no drawing, no statistics.

A place that is not measured is a gap, never zero. On a region that is sampled adaptively the grid between the measured
places is filled by linear interpolation, as the statistics do it, and the measured places are listed beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from safebasin.records import Cell, Panel

__all__ = ["Surface", "is_interpolated", "mean_surface", "surfaces", "target_marks"]

Rows = tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """ASR of one judge over a plane, as fractions."""

    judge: str
    name: str
    """The directions that span it, or what the mean is over."""
    alphas: tuple[float, ...]
    """Coordinates on the first axis, ascending."""
    betas: tuple[float, ...]
    """Coordinates on the second axis, ascending."""
    asr: Rows
    """One row for each of `betas`, one entry for each of `alphas`; None where nothing is known."""
    measured: tuple[tuple[float, float], ...]
    """Where responses were judged."""
    direction: int = -1
    """Number of the plane; −1 for a mean."""

    @property
    def n_gaps(self) -> int:
        """The number of places of the grid without a value."""
        return sum(value is None for row in self.asr for value in row)

    @property
    def size(self) -> int:
        """The number of places of the grid."""
        return len(self.alphas) * len(self.betas)


def is_interpolated(panel: Panel) -> bool:
    """Tell whether the places between the measured ones are filled."""
    return panel.region.points == "auto"


def surfaces(panel: Panel, judge: str) -> tuple[Surface, ...]:
    """One surface for each plane of the region. Planes without a measured place are left out."""
    found = [_surface(panel, judge, number) for number in range(panel.region.n_directions)]
    return tuple(surface for surface in found if surface is not None)


def mean_surface(panel: Panel, judge: str) -> Surface | None:
    """Mean over the planes at each place; the surface itself where there is only one. None: nothing is measured."""
    found = surfaces(panel, judge)
    if len(found) <= 1:
        return found[0] if found else None
    first = found[0]
    rows = zip(*(surface.asr for surface in found), strict=True)
    return Surface(
        judge=judge,
        name=f"mean of {len(found)} planes",
        alphas=first.alphas,
        betas=first.betas,
        asr=tuple(tuple(_mean(values) for values in zip(*row, strict=True)) for row in rows),
        measured=tuple(dict.fromkeys(place for surface in found for place in surface.measured)),
    )


def target_marks(panel: Panel) -> tuple[tuple[float, float, str], ...]:
    """Place the targets of the axes: (α, β, name). One that its axis yields to orthogonality is on no grid line."""
    marks: list[tuple[float, float, str]] = []
    for number, axis in enumerate(panel.region.axes):
        spec = axis.directions[0]
        if len(axis.directions) == 1 and spec.target and not spec.orthogonal_to:
            marks.append((0.0, 1.0, spec.target) if number else (1.0, 0.0, spec.target))
    return tuple(marks)


def _surface(panel: Panel, judge: str, number: int) -> Surface | None:
    cells = [c for c in panel.points if c.direction in (number, -1) and _rate(c, judge) is not None]
    if not any(c.direction == number for c in cells):
        return None
    first, second = (axis.alphas for axis in panel.region.axes)
    at = {c.coords: _rate(c, judge) for c in cells}
    rows: Rows = tuple(tuple(at.get((a, b)) for a in first) for b in second)
    if is_interpolated(panel):
        rows = _filled(first, second, at)
    return Surface(
        judge=judge,
        name=" × ".join(spec.label() for spec in panel.region.spanned_by(number)),
        alphas=first,
        betas=second,
        asr=rows,
        measured=tuple((c.coords[0], c.coords[1]) for c in cells),
        direction=number,
    )


def _filled(alphas: Sequence[float], betas: Sequence[float], at: dict[tuple[float, ...], float | None]) -> Rows:
    import numpy as np

    from safebasin import stats

    coords, values = np.asarray(list(at)), np.asarray(list(at.values()), dtype=np.float64)
    if np.linalg.matrix_rank(coords - coords[0]) < 2:  # an early stage of the sampling: points on one line
        return tuple(tuple(at.get((a, b)) for a in alphas) for b in betas)
    filled = stats.fill_plane(np.asarray(alphas), np.asarray(betas), coords, values[:, None])[..., 0]
    return tuple(tuple(None if np.isnan(x) else float(x) for x in row) for row in filled.T)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _rate(cell: Cell, judge: str) -> float | None:
    found = cell.asr.get(judge)
    return None if found is None else found.value
