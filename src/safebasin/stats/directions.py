"""From a statistic of one line or plane to the estimate over all that were drawn: its mean, interval and words."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from safebasin.records import Estimate
from safebasin.stats.intervals import interval
from safebasin.stats.landscape import Array, curves_of
from safebasin.stats.method_words import interval_method, missing_words, sample_words, undefined_words

__all__ = ["missing", "over_directions", "scored"]


def over_directions(
    success: Array,
    kept: Array,
    functional: Callable[[Array], Array],
    bounds: tuple[float, float],
    level: float,
    seed: int,
    words: str,
    n_prompts: int | None = None,
) -> Estimate:
    """The mean over the directions of `kept` of a functional of the curve, with its interval and its words.

    `success` is as measured, for the counts; `kept` may hold the origin as well, and no unmeasured direction.
    `n_prompts` is as in `safebasin.stats.interval`.
    """
    values = functional(curves_of(kept))
    kept, values = kept[~np.isnan(values)], values[~np.isnan(values)]
    n_undefined = success.shape[0] - values.size
    if values.size == 0:
        method = words + "; nothing is measured"
        return Estimate(value=None, level=level, n_missing=missing(success), n_undefined=n_undefined, method=method)
    found = interval(kept, functional, bounds=bounds, level=level, seed=seed, n_prompts=n_prompts)
    n_missing = missing(success)
    sample = sample_words(success.shape[0], success.shape[2]) + undefined_words(n_undefined)
    made = interval_method(kept.shape[0], kept.shape[2], level, seed, found)
    return Estimate(
        value=float(values.mean()),
        low=found.low if found else None,
        high=found.high if found else None,
        level=level,
        n=scored(success),
        n_missing=n_missing,
        n_undefined=n_undefined,
        method=f"{words}; {sample}; {made}{missing_words(n_missing)}",
    )


def scored(success: Array) -> int:
    """Verdicts that are there."""
    return int((~np.isnan(success)).sum())


def missing(success: Array) -> int:
    """Verdicts that are not."""
    return int(np.isnan(success).sum())
