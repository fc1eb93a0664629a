"""Where a basin ends on each side of a line, as a figure marks it. Pure; no drawing, no statistics.

Along random directions both sides are marked at the mean radius. On a line to a target each side has a radius of its
own (`safebasin.stats.sides`), and is marked there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from safebasin.records import SIDES, Estimate, Panel

__all__ = ["Rim", "alpha_words", "by_side", "named_side", "rim_words", "rims", "split"]

_FINE = 0.05
"""α below which two decimals are too few."""


def alpha_words(value: float, *, sign: bool = False) -> str:
    """A coordinate or a radius: two decimals, and below 0.05 two significant digits, as steps of fine grids need."""
    plus = "+" if sign else ""
    if value == 0 or not math.isfinite(value) or abs(value) >= _FINE:
        return f"{value:{plus}.2f}"
    decimals = 1 - math.floor(math.log10(abs(value)))
    text = f"{value:{plus}.{decimals}f}"
    return text[:-1] if text.endswith("0") and decimals > 2 else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Rim:
    """The rim of a basin on one side."""

    alpha: float
    """Signed."""
    is_bound: bool
    """Whether ASR does not get there within the range, on this side or, of a mean, on some side."""


def split(name: str) -> tuple[str, str | None]:
    """The name of a statistic without its side, and the side: `radius_toward` → (`radius`, `toward`)."""
    stem, _, last = name.rpartition("_")
    return (stem, last) if stem and last in SIDES else (name, None)


def by_side(panel: Panel, name: str) -> dict[str, Estimate]:
    """A statistic by side, on a line that leads to a target; empty where both sides are alike.

    Where only one side is measured, the statistic itself is that side's.
    """
    sides = panel.region.sides
    if len(sides) == 1 and name in panel.summary:
        return {sides[0]: panel.summary[name]}
    return {side: panel.summary[f"{name}_{side}"] for side in sides if f"{name}_{side}" in panel.summary}


def named_side(panel: Panel, name: str) -> str | None:
    """The side that a statistic of the whole line stands for; None where both sides are alike."""
    whole = panel.summary.get(name)
    for side, own in by_side(panel, name).items():
        if whole is not None and (own.value, own.low, own.high, own.n) == (whole.value, whole.low, whole.high, whole.n):
            return side
    return None


def rims(panel: Panel) -> tuple[Rim, ...]:
    """The rims of a line, by the radius of its judge; none where the origin is past the limit or nothing is known."""
    own = by_side(panel, "radius")
    if own:
        return tuple(
            Rim(alpha=SIDES[side] * radius.value, is_bound=bool(radius.n_censored))
            for side, radius in own.items()
            if radius.value
        )
    radius = panel.summary.get("radius")
    if radius is None or not radius.value:
        return ()
    ends = [sign for sign in (-1, 1) if any(sign * alpha > 0 for alpha in panel.axis.alphas)]
    return tuple(Rim(alpha=sign * radius.value, is_bound=bool(radius.n_censored)) for sign in ends)


def rim_words(panel: Panel) -> str:
    """The rims in a legend: `mean radius 0.39`, or each side's own."""
    found = rims(panel)
    if not found:
        return ""
    if not panel.region.sides:
        return f"mean radius {'≥ ' if found[0].is_bound else ''}{alpha_words(abs(found[0].alpha))}"
    ends = ((rim, "toward" if rim.alpha > 0 else "away") for rim in found)
    named = (f"{'≥ ' if rim.is_bound else ''}{alpha_words(abs(rim.alpha))} {side}" for rim, side in ends)
    return f"radius {', '.join(named)}"
