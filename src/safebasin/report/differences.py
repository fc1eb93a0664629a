"""What a paired difference says, in words. Pure."""

from __future__ import annotations

from safebasin.records import Comparison, Estimate, Landscape, Region
from safebasin.stats import FEWEST_DIRECTIONS

__all__ = ["comparison_words", "difference_words"]


def comparison_words(landscape: Landscape, comparison: Comparison) -> tuple[str, str, str]:
    """`difference_words` of a comparison of a landscape."""
    region = next(panel.region for panel in landscape.panels if panel.region.name == comparison.region)
    return difference_words(comparison.estimate, region)


def difference_words(estimate: Estimate, region: Region) -> tuple[str, str, str]:
    """A difference in points, its interval, and what follows from it.

    Nothing follows of higher or lower from fewer directions than `FEWEST_DIRECTIONS` drawn ones, nor, by the interval
    itself, from fewer changed prompts than a sign test needs. A line that leads to a target is the only one there is.
    """
    if estimate.value is None:
        return "undefined", "", ""
    value = f"{_points(estimate.value)} points"
    if estimate.low is None or estimate.high is None:
        return value, "", "no interval is claimed"
    interval = f"[{_points(estimate.low)}, {_points(estimate.high)}]"
    if estimate.low <= 0 <= estimate.high:
        return value, interval, "cannot be told apart"
    if region.is_drawn and region.n_directions < FEWEST_DIRECTIONS:
        noun = "plane" if region.is_plane else "direction"
        return value, interval, f"of {region.n_directions} {noun} only: no verdict"
    return value, interval, "higher" if estimate.value > 0 else "lower"


def _points(value: float) -> str:
    """In points with its sign; what rounds to nothing is not below it."""
    return f"{round(100 * value, 1) + 0.0:+.1f}".replace("-", "−")
