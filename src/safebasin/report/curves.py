"""The curves of a panel, as plain numbers: what figures, page and terminal all draw. Pure; no drawing, no statistics.

A place that is not measured is absent, never zero, and a curve is broken there. On a region that is sampled adaptively
nothing is missing: between its points a curve is linear, as in the statistics. The first coordinate is α; the shared
origin belongs to every direction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from safebasin.records import OUTCOMES, Axis, Cell, Panel
from safebasin.report.interpolate import interpolate
from safebasin.report.sanitize import visible

__all__ = [
    "Curve",
    "Share",
    "axis_label",
    "composition",
    "curves",
    "mean_curve",
    "mean_values",
    "n_missing",
    "plane_labels",
    "rate_name",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """ASR of one judge along α. All four have one entry a measured point, ascending in α; rates are fractions."""

    judge: str
    name: str
    """The direction's label, or what the mean is over."""
    alphas: tuple[float, ...]
    asr: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    band: str = ""
    """What low and high are, in words for a legend."""
    direction: int = -1
    """Index of the direction within the axis; −1 for a mean."""
    missing: tuple[float, ...] = ()
    """Coordinates of the grid that are not measured."""
    is_interpolated: bool = False
    """Whether some of its points are not measured but lie between measured ones."""

    def at(self, alpha: float) -> tuple[float, float, float]:
        """ASR, low and high at α, linear between the points; beyond the ends those of the end."""
        asr, low, high = (interpolate(self.alphas, values, alpha) for values in (self.asr, self.low, self.high))
        return asr, low, high

    def with_gaps(self) -> tuple[list[float], list[float | None], list[float | None], list[float | None]]:
        """α, ASR, low and high over measured and missing coordinates alike; None where missing."""
        at = {alpha: i for i, alpha in enumerate(self.alphas)}
        xs = sorted({*self.alphas, *self.missing})
        asr, low, high = ([v[at[x]] if x in at else None for x in xs] for v in (self.asr, self.low, self.high))
        return xs, asr, low, high


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Composition of the responses at one α, pooled over directions. Fractions of what was judged there."""

    alpha: float
    n: int
    shares: Mapping[str, float]
    """By outcome, those of `OUTCOMES` that occur anywhere in the panel, in that order; they sum to 1."""
    is_mean: bool = False
    """Whether it is a mean over directions, not all of which are measured here; then n counts those that are."""


def curves(panel: Panel, judge: str) -> tuple[Curve, ...]:
    """One curve a direction, with the Wilson bounds of its points. Directions without a measured point are left out."""
    found: list[Curve] = []
    for index, spec in enumerate(panel.axis.directions):
        cells = sorted(
            (c for c in panel.points if c.direction in (index, -1) and _rate(c, judge) is not None),
            key=lambda c: c.coords[0],
        )
        if not cells:
            continue
        estimates = [c.asr[judge] for c in cells]
        found.append(
            Curve(
                judge=judge,
                name=spec.label(),
                alphas=tuple(c.coords[0] for c in cells),
                asr=tuple(e.value or 0.0 for e in estimates),
                low=tuple(e.low if e.low is not None else e.value or 0.0 for e in estimates),
                high=tuple(e.high if e.high is not None else e.value or 0.0 for e in estimates),
                band="Wilson 95% interval",
                direction=index,
                missing=_missing(panel, {c.coords[0] for c in cells}),
            )
        )
    return tuple(found)


def mean_curve(panel: Panel, judge: str) -> Curve | None:
    """Mean over directions at each α, with the range over directions; the curve itself where there is only one.

    None where nothing is measured.
    """
    found = curves(panel, judge)
    if len(found) <= 1:
        return found[0] if found else None
    at: dict[float, list[float]] = {}
    adaptive = panel.region.points == "auto"
    for curve in found:
        alphas = sorted({0.0, *panel.axis.alphas}) if adaptive else curve.alphas
        for alpha in alphas:
            at.setdefault(alpha, []).append(curve.at(alpha)[0])
    alphas = tuple(sorted(at))
    return Curve(
        judge=judge,
        name=f"mean of {len(found)} directions",
        alphas=alphas,
        asr=tuple(sum(at[a]) / len(at[a]) for a in alphas),
        low=tuple(min(at[a]) for a in alphas),
        high=tuple(max(at[a]) for a in alphas),
        band=f"range over {len(found)} directions",
        missing=_missing(panel, set(alphas)),
        is_interpolated=adaptive,
    )


def mean_values(panel: Panel, judge: str, alphas: Sequence[float]) -> list[float | None]:
    """The mean curve at these coordinates; None where not measured. An adaptive sampling fills what is between."""
    curve = mean_curve(panel, judge)
    if curve is None:
        return [None] * len(alphas)
    if panel.region.points == "auto":
        return [curve.at(alpha)[0] for alpha in alphas]
    known = dict(zip(curve.alphas, curve.asr, strict=True))
    return [known.get(alpha) for alpha in alphas]


def n_missing(panel: Panel, judge: str) -> tuple[int, int]:
    """Count the points of the lines that are not measured, and how many there are. An adaptive sampling misses none."""
    size = 1 + sum(alpha != 0 for alpha in panel.axis.alphas) * panel.region.n_directions
    if panel.region.points == "auto":
        return 0, size
    return size - sum(_rate(cell, judge) is not None for cell in panel.points), size


def composition(panel: Panel) -> tuple[Share, ...]:
    """Compute the shares of outcomes at each α, pooled over directions, ascending. Places without a judged response:
    absent.

    On a region that is sampled adaptively, the mean over directions, each linear between its measured points.
    """
    every = {name for cell in panel.points for name, count in cell.outcomes.items() if count}
    names = [*(name for name in OUTCOMES if name in every), *sorted(every - set(OUTCOMES))]
    directions = range(panel.region.n_directions) if panel.region.points == "auto" else [None]
    lines = [line for line in (_shares(panel, names, direction) for direction in directions) if line]
    if len(lines) <= 1:
        return tuple(lines[0]) if lines else ()
    alphas = sorted({share.alpha for line in lines for share in line})
    return tuple(_between(lines, names, alpha) for alpha in alphas)


def _shares(panel: Panel, names: Sequence[str], direction: int | None) -> list[Share]:
    """The shares of one direction and the origin, or of all pooled (None)."""
    at: dict[float, Counter[str]] = {}
    for cell in panel.points:
        if direction is None or cell.direction in (direction, -1):
            at.setdefault(cell.coords[0], Counter()).update(cell.outcomes)
    return [
        Share(alpha=alpha, n=total, shares={name: at[alpha][name] / total for name in names})
        for alpha in sorted(at)
        if (total := sum(at[alpha].values()))
    ]


def _between(lines: Sequence[Sequence[Share]], names: Sequence[str], alpha: float) -> Share:
    """The mean over lines at one α."""
    measured = sum(share.n for line in lines for share in line if share.alpha == alpha)
    values = [
        [interpolate([p.alpha for p in line], [p.shares[name] for p in line], alpha) for line in lines]
        for name in names
    ]
    return Share(
        alpha=alpha, n=measured, shares={n: sum(v) / len(v) for n, v in zip(names, values, strict=True)}, is_mean=True
    )


def rate_name(panel: Panel) -> str:
    """Name what a success is: an attack that went through, or of prompts that should be answered, an answer."""
    return "answered" if "answered" in panel.summary else "ASR"


def axis_label(axis: Axis) -> str:
    """Say what α counts, e.g. for the x axis of a figure."""
    unit = _unit(axis)
    return f"α ({unit})" if unit else "α"


def plane_labels(panel: Panel, direction: int | None = None) -> tuple[str, str]:
    """Say what α and β count, and along what, for the axes of a map: of one plane, or of all (None)."""
    labels: list[str] = []
    for letter, axis in zip("αβ", panel.region.axes, strict=True):
        count = len(axis.directions)
        lone = axis.directions[0 if count == 1 else direction or 0]
        name = f"{count} {axis.name} directions" if count > 1 and direction is None else lone.label()
        name = visible(name).replace("\n", " ")
        name = name if len(name) <= 36 else f"{name[:14]} … {name[-19:]}"
        unit = _unit(axis)
        labels.append(f"{letter} along {name}" + (f"\n({unit})" if unit else ""))
    return labels[0], labels[1]


def _unit(axis: Axis) -> str:
    if any(spec.target and spec.orthogonal_to for spec in axis.directions):
        return "1 = as far as the other target; orthogonal to it"
    if any(spec.target for spec in axis.directions):
        return "1 = the target"
    scale = {
        "layer": "in units of ‖θ‖ per tensor",
        "filter": "in units of ‖θ‖ per row",
        "model": "in units of ‖θ‖ of the whole model",
    }
    units = {spec.normalize for spec in axis.directions}
    return scale.get(units.pop(), "") if len(units) == 1 else ""


def _missing(panel: Panel, known: Set[float]) -> tuple[float, ...]:
    if panel.region.points == "auto":
        return ()
    return tuple(alpha for alpha in sorted({0.0, *panel.axis.alphas}) if alpha not in known)


def _rate(cell: Cell, judge: str) -> float | None:
    found = cell.asr.get(judge)
    return None if found is None else found.value
