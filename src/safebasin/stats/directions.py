"""From a statistic of one line or plane to the estimate over all that were drawn: its mean, interval and words."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from safebasin.records import Estimate
from safebasin.stats.intervals import interval, leave_one_out, resamples
from safebasin.stats.landscape import Array, curves_of
from safebasin.stats.method_words import interval_method, missing_words, sample_words, undefined_words

__all__ = ["is_open_above", "missing", "over_directions", "scored"]


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


def is_open_above(
    kept: Array,
    is_censored: Callable[[Array], Array],
    high: float | None,
    *,
    end: float,
    level: float,
    seed: int,
) -> bool:
    """Decide whether an upper bound of a radius is none: it lies at the end of the range or beyond, or rests on curves
    that never cross within the range, which count as if they crossed at its end.

    Of one direction these are the resamples of prompts that decide the upper quantile, of several the curves with one
    prompt left out. A missing verdict is taken for a failure.

    Args:
        kept: the measured directions, shape (directions, points, prompts).
        is_censored: 1 where a curve never crosses on some side, (…, points) → (…).
        high: the upper bound; None is no bound to be asked about.
        end: the largest radius that the range can show.
        level: coverage of the interval.
        seed: of the bootstrap over prompts, used with one direction.
    """
    if high is None or high >= end:
        return high is not None
    filled = np.where(np.isnan(kept), 0.0, kept)
    if len(filled) == 1:
        share = is_censored(resamples(filled.shape[2], seed) @ filled[0].T).mean()
        return bool(share >= (1 - level) / 2)
    return bool(leave_one_out(filled, is_censored)[1].any())


def scored(success: Array) -> int:
    """Verdicts that are there."""
    return int((~np.isnan(success)).sum())


def missing(success: Array) -> int:
    """Verdicts that are not."""
    return int(np.isnan(success).sum())
