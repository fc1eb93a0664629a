"""What a paired difference says, in words. Pure."""

from __future__ import annotations

from itertools import combinations

from safebasin.records import Comparison, Estimate, Landscape, Region
from safebasin.stats import FEWEST_DIRECTIONS
from safebasin.stats.ranking import RankedPair, Ranking

__all__ = ["ALIKE", "alike", "comparison_words", "difference_words", "is_compared", "joined", "uncompared_words"]

ALIKE = "cannot be told apart"
"""What follows from an interval that holds 0."""


def is_compared(pair: RankedPair) -> bool:
    """Tell whether a pair of a ranking was tested: its difference has an interval, of enough directions."""
    return pair.is_supported and pair.difference.low is not None and pair.difference.high is not None


def joined(ranking: Ranking) -> tuple[tuple[str, ...], ...]:
    """Runs of a ranking of which no two can be told apart though all were tested."""
    tested = {frozenset((pair.first, pair.second)) for pair in ranking.pairs if is_compared(pair)}
    return tuple(run for run in ranking.groups if all(frozenset(two) in tested for two in combinations(run, 2)))


def alike(ranking: Ranking, name: str) -> list[str]:
    """List those that one of a ranking was tested against and cannot be told apart from."""
    return [
        pair.second if pair.first == name else pair.first
        for pair in ranking.pairs
        if name in (pair.first, pair.second) and is_compared(pair) and not pair.is_apart
    ]


def uncompared_words(ranking: Ranking) -> str:
    """A sentence on a ranking of which no pair was tested; empty where one was."""
    if any(is_compared(pair) for pair in ranking.pairs):
        return ""
    if all(pair.difference.value is None for pair in ranking.pairs):
        return "Not compared: the margin of at least one of each pair is undefined."
    return f"Not compared: {FEWEST_DIRECTIONS} directions (or planes) or more are needed to tell margins apart."


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
        return value, interval, ALIKE
    if region.is_drawn and region.n_directions < FEWEST_DIRECTIONS:
        noun = "plane" if region.is_plane else "direction"
        return value, interval, f"of {region.n_directions} {noun} only: no verdict"
    return value, interval, "higher" if estimate.value > 0 else "lower"


def _points(value: float) -> str:
    """In points with its sign; what rounds to nothing is not below it."""
    return f"{round(100 * value, 1) + 0.0:+.1f}".replace("-", "−")
