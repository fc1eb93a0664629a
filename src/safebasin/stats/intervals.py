"""Intervals: Wilson for a rate, bootstrap over prompts for one direction, two-way jackknife for three or more.

Directions and prompts are both random samples, and crossed: every direction is asked every prompt. An interval that
resamples prompts only is about *this* direction; one over directions needs at least three of them.

A *functional* is a statistic of one curve, vectorized: it maps ASR of shape (…, alphas) to (…). The statistic of a
landscape is its mean over directions. Missing verdicts (NaN) are never dropped silently: the interval is the hull of
those with every missing verdict counted as a failure and as a success, which bounds any functional that is monotone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from safebasin.errors import StudyError, expected
from safebasin.stats.landscape import Array

__all__ = [
    "RESAMPLES",
    "Functional",
    "Interval",
    "all_alike",
    "bootstrap_prompts",
    "hull",
    "interval",
    "jackknife",
    "jackknife_means",
    "leave_one_out",
    "percentiles",
    "resample_unmoved",
    "resamples",
    "wilson",
]

Functional = Callable[[Array], Array]
RESAMPLES = 2000
_ALIKE = 1e-12
"""A standard error below this is rounding: every replicate is alike."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Lower and upper bound."""

    low: float
    high: float
    n_alike: int = 0
    """How many directions or prompts, the fewer of both, were all alike: then it is Clopper–Pearson's bound. 0 where
    something varied."""
    is_resampled: bool = False
    """Whether verdicts differ though no direction and no prompt moves the statistic by itself: then resamples of both
    were asked. With `n_alike` none of them moved it either."""


def wilson(k: float, n: float, *, level: float = 0.95) -> Interval:
    """Wilson score interval of a rate of k among n ≥ 1 independent observations, without continuity correction.

    Fractions stand for observations that are worth less than independent ones (`safebasin.stats.clusters`).

    Source: Wilson 1927; recommended by Brown, Cai and DasGupta 2001, Statistical Science 16(2).
    """
    if not 0 <= k <= n or n < 1:
        raise StudyError(expected("a count", "between 0 and n ≥ 1", f"{k} of {n}", "Count successes among n."))
    z2 = NormalDist().inv_cdf(_tail(level)) ** 2
    rate = k / n
    center = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = (z2 * (rate * (1 - rate) / n + z2 / (4 * n * n))) ** 0.5 / (1 + z2 / n)
    # At 0 and n the bound is exact; rounding must not put it beside the rate.
    return Interval(low=0.0 if k == 0 else center - half, high=1.0 if k == n else center + half)


def resamples(n_prompts: int, seed: int, n: int = RESAMPLES) -> Array:
    """Draw how often each prompt is taken in each bootstrap sample, as weights that sum to 1. Shape (n, prompts)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_prompts, np.full(n_prompts, 1 / n_prompts), size=n) / n_prompts


def bootstrap_prompts(
    success: Array,
    functional: Functional,
    *,
    bounds: tuple[float, float] = (0.0, 1.0),
    level: float = 0.95,
    seed: int = 0,
    n_prompts: int | None = None,
) -> Interval:
    """Percentile bootstrap over prompts of a functional of one direction's curve: *conditional on this direction*.

    Args:
        success: shape (alphas, prompts), 0 or 1, without NaN.
        functional: statistic of a curve.
        bounds: range of the statistic.
        level: coverage that is asked for.
        seed: of the resampling.
        n_prompts: as in `interval`.
    """
    n_alike = success.shape[1] if n_prompts is None else n_prompts
    curves = resamples(success.shape[1], seed) @ success.T
    return percentiles(functional(curves), n_alike, bounds=bounds, level=level)


def percentiles(replicates: Array, n: int, *, bounds: tuple[float, float], level: float) -> Interval:
    """The middle `level` of bootstrap replicates; where all are alike, the bound that n alike observations allow."""
    if float(np.ptp(replicates)) <= _ALIKE:
        return all_alike(float(replicates[0]), n, bounds, level)
    low, high = np.quantile(np.clip(replicates, *bounds), [1 - _tail(level), _tail(level)])
    return Interval(low=float(low), high=float(high))


def interval(
    success: Array,
    functional: Functional,
    *,
    bounds: tuple[float, float] = (0.0, 1.0),
    level: float = 0.95,
    seed: int = 0,
    n_prompts: int | None = None,
) -> Interval | None:
    """Interval of the mean over directions of a functional of the curve.

    One direction: `bootstrap_prompts`, conditional on it. Two: None. Three or more: `jackknife` over directions and
    prompts, clipped to `bounds`. Where neither finds a spread though verdicts differ: `resample_unmoved`.

    Args:
        success: shape (directions, alphas, prompts): 0, 1, or NaN where the verdict is missing.
        functional: statistic of a curve, monotone in every verdict.
        bounds: range of the statistic.
        level: coverage that is asked for.
        seed: of the bootstrap.
        n_prompts: how many prompts were asked at every point, where some rows were completed; None is all. They bound
            a single direction where nothing varies.

    Returns:
        None where no interval is claimed: two directions, or a single prompt.
    """
    if not np.isnan(success).any():
        return _complete_interval(success, functional, bounds, level, seed, n_prompts)
    # monotone, so all missing as failures and all as successes are the two extremes
    found = [
        _complete_interval(np.where(np.isnan(success), imputed, success), functional, bounds, level, seed, n_prompts)
        for imputed in (0.0, 1.0)
    ]
    return hull(found)


def hull(intervals: list[Interval | None]) -> Interval | None:
    """The smallest interval that holds all of them; None if one of them is."""
    found = [i for i in intervals if i is not None]
    if len(found) < len(intervals):
        return None
    return Interval(
        low=min(i.low for i in found),
        high=max(i.high for i in found),
        n_alike=max(i.n_alike for i in found),
        is_resampled=any(i.is_resampled for i in found),
    )


def _complete_interval(
    success: Array,
    functional: Functional,
    bounds: tuple[float, float],
    level: float,
    seed: int,
    n_prompts: int | None,
) -> Interval | None:
    n_directions, _, size = success.shape
    if n_directions == 2 or size < 2:
        return None
    if n_directions == 1:
        found = bootstrap_prompts(success[0], functional, bounds=bounds, level=level, seed=seed, n_prompts=n_prompts)
    else:
        found = jackknife_means(*leave_one_out(success, functional), bounds=bounds, level=level)
    return resample_unmoved(found, [success], functional, bounds=bounds, level=level, seed=seed)


def resample_unmoved(
    found: Interval | None,
    samples: Sequence[Array],
    functional: Functional,
    *,
    bounds: tuple[float, float],
    level: float,
    seed: int = 0,
) -> Interval | None:
    """Ask resamples where a bound of all alike rests on a statistic that stands still though verdicts differ.

    A radius does not move when one prompt is left out, while ASR lies close to the limit. Where the statistic of each
    single prompt is the same, the bound is right. Else directions and prompts are drawn again (the pigeonhole
    bootstrap, Owen 2007, doi 10.1214/07-AOAS122), and the interval holds both, the bound and theirs.

    Args:
        found: the interval.
        samples: what it is of, shape (directions, alphas, prompts): one, or two of which it is the second less the
            first.
        functional: as in `interval`.
        bounds: range of the statistic.
        level: coverage that is asked for.
        seed: of the resampling.
    """
    if found is None or not found.n_alike:
        return found
    own = _last_less_first([functional(np.ascontiguousarray(one.swapaxes(1, 2))) for one in samples])
    if float(np.ptp(own)) <= _ALIKE:
        return found
    drawn = _last_less_first([_crossed(one, functional, seed) for one in samples])
    drawn = drawn[~np.isnan(drawn)]
    if not drawn.size or float(np.ptp(drawn)) <= _ALIKE:
        return replace(found, is_resampled=True)
    spread = percentiles(drawn, found.n_alike, bounds=bounds, level=level)
    return Interval(low=min(spread.low, found.low), high=max(spread.high, found.high), is_resampled=True)


def _last_less_first(values: Sequence[Array]) -> Array:
    return values[0] if len(values) == 1 else values[-1] - values[0]


def _crossed(success: Array, functional: Functional, seed: int) -> Array:
    """The mean over directions in samples of both, shape (resamples,)."""
    prompts, n = resamples(success.shape[2], seed), success.shape[0]
    each = np.stack([functional(prompts @ one.T) for one in success])
    return each[0] if n == 1 else (resamples(n, seed + 1).T * each).sum(axis=0)


def leave_one_out(success: Array, functional: Functional) -> tuple[Array, Array]:
    """The functional of each direction, shape (directions,), and with each prompt left out, (directions, prompts)."""
    n_prompts = success.shape[2]
    total = success.sum(axis=2)  # (directions, alphas)
    without = np.empty((success.shape[0], n_prompts))
    for row, of_direction, own in zip(without, success, total, strict=True):  # one by one: this is most of the memory
        curves = (own[:, None] - of_direction) / (n_prompts - 1)  # (alphas, prompts): each left out in turn
        row[:] = functional(np.ascontiguousarray(curves.T))  # (prompts, alphas): functionals take α last
    return functional(total / n_prompts), without


def jackknife_means(
    per_direction: Array,
    without_prompt: Array,
    *,
    bounds: tuple[float, float],
    level: float = 0.95,
    most_df: float | None = None,
) -> Interval | None:
    """`jackknife` of a mean over directions.

    Args:
        per_direction: the statistic of each direction, shape (directions,), at least two.
        without_prompt: the same with each prompt left out, shape (directions, prompts).
        bounds: range of the statistic.
        level: coverage that is asked for.
        most_df: as in `jackknife`.
    """
    n, total = per_direction.size, without_prompt.sum(axis=0)
    return jackknife(
        full=float(per_direction.mean()),
        no_direction=(per_direction.sum() - per_direction) / (n - 1),
        no_prompt=total / n,
        no_both=(total - without_prompt) / (n - 1),
        bounds=bounds,
        level=level,
        most_df=most_df,
    )


def jackknife(
    *,
    full: float,
    no_direction: Array,
    no_prompt: Array,
    no_both: Array,
    bounds: tuple[float, float],
    level: float = 0.95,
    most_df: float | None = None,
) -> Interval | None:
    """Two-way jackknife-t interval of a statistic of crossed directions × prompts.

    SE² = SE²_directions + SE²_prompts − SE²_cells, each from the statistic with one direction, one prompt, or one of
    each left out. `cells` is the interaction of the two, which the other terms both contain: for a mean over a complete
    table this is exactly the unbiased analysis-of-variance estimator, and it is never taken below either of the first
    two terms. Student's t with Satterthwaite's degrees of freedom; clipped to `bounds`.

    Where nothing varies SE says nothing; then the share of directions, and of prompts, that behave so is at least
    (1 − level)/2 to the power 1/n (Clopper–Pearson), and the rest may be anywhere in the range. The fewer of both bound
    it, which are nearly always the directions.

    Args:
        full: the statistic.
        no_direction: without each direction, shape (directions,), at least two.
        no_prompt: without each prompt, shape (prompts,), at least two.
        no_both: without each pair of them, shape (directions, prompts).
        bounds: range of the statistic.
        level: coverage that is asked for.
        most_df: cap of the degrees of freedom. Satterthwaite's number is itself estimated, and with few directions it
            is at times far too large, which the tail of a test cannot bear: differences are given directions − 1.

    Returns:
        None where a replicate is undefined (NaN).
    """
    if np.isnan(no_both).any():
        return None
    from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs]  # here: loading scipy takes a while

    n, m = no_both.shape
    # what neither direction nor prompt explains by itself, (directions, prompts)
    interaction = no_both - no_direction[:, None] - no_prompt + full
    directions = float(np.square(no_direction - no_direction.mean()).sum()) * (n - 1) / n
    prompts = float(np.square(no_prompt - no_prompt.mean()).sum()) * (m - 1) / m
    cells = float(np.square(interaction - interaction.mean()).sum()) * (n - 1) * (m - 1) / (n * m)
    # both terms hold the interaction, so their sum counts it twice; the difference of estimates may fall too low
    variance = max(directions + prompts - cells, directions, prompts)
    if variance**0.5 <= _ALIKE:
        return all_alike(full, min(n, m), bounds, level)
    parts = directions**2 / (n - 1) + prompts**2 / (m - 1) + cells**2 / ((n - 1) * (m - 1))
    df = variance**2 / parts
    half = float(stdtrit(df if most_df is None else min(df, most_df), _tail(level))) * variance**0.5
    low, high = bounds
    return Interval(low=max(low, full - half), high=min(high, full + half))


def all_alike(value: float, n: int, bounds: tuple[float, float], level: float) -> Interval:
    """Bound from below where n observations are all alike: at least this share of the population is so; the rest may be
    anywhere.
    """
    share = (1 - _tail(level)) ** (1 / n)
    return Interval(
        low=share * value + (1 - share) * bounds[0], high=share * value + (1 - share) * bounds[1], n_alike=n
    )


def _tail(level: float) -> float:
    """Upper quantile of a two-sided interval: 0.975 for 0.95."""
    if not 0 < level < 1:
        raise StudyError(expected("level of an interval", "between 0 and 1", level, "Give a fraction, such as 0.95."))
    return (1 + level) / 2
