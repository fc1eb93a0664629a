"""Means of a judge's own numbers, such as the harmfulness score of the 1 to 5 rubric."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from safebasin.records import Estimate
from safebasin.stats.intervals import percentiles
from safebasin.stats.method_words import missing_words, percent

__all__ = ["estimate_mean_grade"]


def estimate_mean_grade(
    grades: Sequence[float | None], *, bounds: tuple[float, float] = (1.0, 5.0), level: float = 0.95
) -> Estimate:
    """The mean grade with a t interval over responses, cut at the scale; no interval for fewer than two.

    Args:
        grades: one a response; None is missing. The interval holds what missing ones would give at either end.
        bounds: least and greatest grade of the scale.
        level: coverage. Conditional on the model: responses are what is sampled.
    """
    from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs]  # here: loading scipy takes a while

    known = np.asarray([g for g in grades if g is not None], dtype=np.float64)
    missing = len(grades) - len(known)
    if not len(known):
        return Estimate(value=None, level=level, n_missing=missing, method="nothing is graded")
    value = float(known.mean())
    if len(known) < 2:
        return Estimate(value=value, level=level, n=1, n_missing=missing, method="one grade; no interval is claimed")
    alike = float(np.ptp(known)) == 0
    # a t interval of no width, or of what missing grades alone make it, would claim to know
    bound = percentiles(known[:1], len(known), bounds=bounds, level=level) if alike else None
    if bound is not None and not missing:
        words = f"mean of {len(known)} grades, all alike; {percent(level)} bound that so many alike allow"
        return Estimate(value=value, low=bound.low, high=bound.high, level=level, n=len(known), method=words)
    ends: list[float] = []
    for sign, end in zip((-1.0, 1.0), bounds, strict=True):
        filled = np.append(known, np.full(missing, end))
        error = float(filled.std(ddof=1)) / len(filled) ** 0.5
        found = float(filled.mean()) + sign * float(stdtrit(len(filled) - 1, (1 + level) / 2)) * error
        ends.append(min(bounds[1], max(bounds[0], found)))
    if bound is not None:
        ends = [min(ends[0], bound.low), max(ends[1], bound.high)]
    return Estimate(
        value=value,
        low=ends[0],
        high=ends[1],
        level=level,
        n=len(known),
        n_missing=missing,
        method=f"mean of {len(known)} grades; {percent(level)} t interval over responses{missing_words(missing)}",
    )
