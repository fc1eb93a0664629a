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
    value = f"{100 * estimate.value:+.1f} points".replace("-", "−")
    if estimate.low is None or estimate.high is None:
        return value, "", "no interval is claimed"
    interval = f"[{100 * estimate.low:+.1f}, {100 * estimate.high:+.1f}]".replace("-", "−")
    if estimate.low <= 0 <= estimate.high:
        return value, interval, "cannot be told apart"
    if region.is_drawn and region.n_directions < FEWEST_DIRECTIONS:
        noun = "plane" if region.is_plane else "direction"
        return value, interval, f"of {region.n_directions} {noun} only: no verdict"
    return value, interval, "higher" if estimate.value > 0 else "lower"
