"""The words of `Estimate.method`: how a value and its interval were made, fit to print. No arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

from safebasin.stats.intervals import RESAMPLES, Interval
from safebasin.stats.landscape import Array

__all__ = [
    "OPEN_WORDS",
    "grid_words",
    "interval_method",
    "missing_words",
    "percent",
    "sample_words",
    "stopped_words",
    "undefined_words",
]

OPEN_WORDS = "; no upper bound within the range"


def percent(fraction: float) -> str:
    """0.975 → 97.5%."""
    return f"{100 * fraction:g}%"


def grid_words(alphas: Array) -> str:
    """The grid that a statistic was taken on; a statistic of another grid is another statistic."""
    return f"{alphas.size} points in [{alphas[0]:g}, {alphas[-1]:g}]"


def sample_words(n_directions: int, n_prompts: int) -> str:
    """Say how many directions and prompts."""
    directions = "1 direction" if n_directions == 1 else f"mean over {n_directions} directions"
    return f"{directions}, {_plural(n_prompts, 'prompt')}"


def undefined_words(n_undefined: int) -> str:
    """Directions that are left out, if any."""
    if not n_undefined:
        return ""
    return f" ({_plural(n_undefined, 'direction')} left out, where it is undefined or not measured)"


def missing_words(n_missing: int) -> str:
    """Say what was done about missing verdicts, if any."""
    if not n_missing:
        return ""
    return f", widened to hold what {_plural(n_missing, 'missing verdict')} would give either way"


WIDENED = "the interval is widened by what stopping can draw rates to 0 or 1"


def stopped_words(counts: Sequence[int], n_prompts: int, off: float | None) -> str:
    """Say at how many points prompts were left out, how many were asked there, and what that does to intervals, if any.

    Args:
        counts: prompts that were asked at each of these points.
        n_prompts: of the set.
        off: `safebasin.stats.sequences.stopping_bias`; None where no interval is claimed.
    """
    if not counts:
        return ""
    asked = f"{min(counts)} to {max(counts)}" if min(counts) < max(counts) else f"{min(counts)}"
    words = f"; at {len(counts)} of them the first {asked} of {n_prompts} prompts in random order"
    if off is None:
        return words
    return f"{words}: {WIDENED}, {100 * off:.1f} points on average at most"


def interval_method(
    n_directions: int, n_prompts: int, level: float, seed: int, found: Interval | None, *, paired: bool = False
) -> str:
    """The kind of an interval, and what it does not cover.

    Args:
        n_directions: how many directions it is over.
        n_prompts: how many prompts.
        level: its coverage.
        seed: of the bootstrap.
        found: the interval; None where none is claimed.
        paired: whether it is of a difference, whose degrees of freedom are capped.
    """
    if n_directions == 2:
        return "no interval is claimed: two directions do not support one"
    if found is None:
        return "no interval is claimed"
    if found.n_alike:
        noun = "direction" if found.n_alike == n_directions > 1 else "prompt"
        conditional = ", conditional on this direction" if n_directions == 1 else ""
        of = f"{_plural(n_directions, 'direction')} and {_plural(n_prompts, 'prompt')}"
        why = f"all of {of} are alike"
        if found.is_resampled:
            why = f"{of}, though not alike, give the same in each of {RESAMPLES} resamples"
        return (
            f"{percent(level)} Clopper-Pearson bound, since {why}: set by {_plural(found.n_alike, noun)}{conditional}"
        )
    if found.is_resampled:
        return (
            f"{percent(level)} interval by bootstrap over {_plural(n_directions, 'direction')} and "
            f"{_plural(n_prompts, 'prompt')} ({RESAMPLES} resamples, seed {seed}), since none of them left out changes "
            "it, and at least the Clopper-Pearson bound of as many alike"
        )
    if n_directions == 1:
        return (
            f"{percent(level)} interval by bootstrap over prompts ({RESAMPLES} resamples, seed {seed}), "
            "conditional on this direction"
        )
    return f"{percent(level)} interval by two-way jackknife over {n_directions} directions and {n_prompts} prompts " + (
        "(t with Satterthwaite's degrees of freedom, at most directions - 1)" if paired else "(Satterthwaite t)"
    )


def _plural(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
