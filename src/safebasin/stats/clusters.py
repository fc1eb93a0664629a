"""Rates over responses that are not independent: many points ask the same prompt, so prompts are what was sampled.

A response at one point says much of the response to the same prompt at the next. Intervals over responses that take
them as independent are several times too narrow; those here vary prompts as wholes.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from safebasin.errors import StudyError, expected
from safebasin.records import Estimate
from safebasin.stats.intervals import Interval, wilson
from safebasin.stats.landscape import Array
from safebasin.stats.method_words import missing_words, percent

__all__ = [
    "Clusters",
    "cluster_numbers",
    "cluster_sums",
    "effective_size",
    "effective_size_of",
    "estimate_clustered_rate",
    "jackknife_clusters",
]

_ALIKE = 1e-12


Clusters = Sequence[Hashable] | NDArray[np.integer]
"""What each observation is of: names, or an array of them; numbers from 0 to n − 1 are counted in bulk."""


def cluster_numbers(clusters: Clusters, n: int) -> NDArray[np.intp]:
    """The cluster of each of n observations as a number from 0, in the order of their first occurrence."""
    if len(clusters) != n:
        given = (len(clusters), n)
        raise StudyError(expected("clusters", "one for each observation", given, "Name the prompt of each."))
    if isinstance(clusters, np.ndarray) and clusters.dtype.kind in "iu" and ((clusters >= 0) & (clusters < n)).all():
        return _renumbered(clusters)
    index = {name: number for number, name in enumerate(dict.fromkeys(clusters))}
    return np.asarray([index[name] for name in clusters], dtype=np.intp)


def _renumbered(clusters: NDArray[np.integer]) -> NDArray[np.intp]:
    first = np.full(int(clusters.max(initial=-1)) + 1, clusters.size, dtype=np.intp)  # where each occurs first
    first[clusters[::-1]] = np.arange(clusters.size - 1, -1, -1, dtype=np.intp)  # of several, the last that is written
    numbers = np.empty(first.size, dtype=np.intp)
    numbers[np.argsort(first)] = np.arange(first.size)
    return numbers[clusters]


def cluster_sums(values: Array, numbers: NDArray[np.intp]) -> Array:
    """Sums within clusters. Shapes (n,), (n,) → (clusters,)."""
    return np.bincount(numbers, weights=values).astype(np.float64)


def effective_size(success: Array, numbers: NDArray[np.intp], *, level: float = 0.95) -> float:
    """Estimate how many independent observations a rate over clusters is worth, for an interval at a level.

    n divided by the design effect (the variance of the ratio of cluster totals to that of independent observations),
    and by the square of Student's t with clusters − 1 degrees of freedom to the normal quantile. At most n. Where the
    rate is 0 or 1 nothing shows how clusters differ: then each is worth one. Clusters of one give n.

    Args:
        success: 0 or 1, shape (n,), without NaN.
        numbers: the cluster of each, shape (n,).
        level: of the interval that it is for.

    Source: Korn and Graubard 1998, Survey Methodology 24(2); with Wilson's interval as in Dean and Pagano 2015, Journal
    of Survey Statistics and Methodology 3(4).
    """
    return effective_size_of(cluster_sums(success, numbers), np.bincount(numbers).astype(np.float64), level=level)


def effective_size_of(counts: Array, sizes: Array, *, level: float = 0.95) -> float:
    """`effective_size` from the successes in each cluster and the size of each, shape (clusters,); empty ones are none.

    Args:
        counts: successes.
        sizes: observations.
        level: of the interval that it is for.
    """
    n, n_clusters = int(sizes.sum()), int(np.count_nonzero(sizes))
    if n_clusters == n:
        return float(n)
    rate = float(counts.sum()) / n
    if n_clusters < 2 or rate in (0.0, 1.0):
        return float(n_clusters)
    residuals = counts - rate * sizes
    variance = n_clusters / (n_clusters - 1) * float(np.square(residuals).sum()) / n**2
    worth = min(float(n), rate * (1 - rate) / max(variance, _ALIKE))
    return max(1.0, worth * (NormalDist().inv_cdf((1 + level) / 2) / _student(n_clusters - 1, level)) ** 2)


def estimate_clustered_rate(success: Array, clusters: Clusters, *, level: float = 0.95) -> Estimate:
    """A rate with Wilson's interval at its effective size, and never above what as many clusters allow that are alike.

    Args:
        success: 0, 1, or NaN where it is missing, shape (n,).
        clusters: what each was asked, of equal length.
        level: coverage.
    """
    numbers = cluster_numbers(clusters, success.size)
    scored = ~np.isnan(success)
    n, n_missing = int(scored.sum()), int((~scored).sum())
    if n == 0:
        return Estimate(value=None, level=level, n_missing=n_missing, method="nothing is measured")
    if n_missing:
        ends = [_wilson(np.where(scored, success, filling), numbers, level) for filling in (0.0, 1.0)]
        success, numbers = success[scored], numbers[scored]
    else:
        ends = [_wilson(success, numbers, level)] * 2
    n_clusters = np.count_nonzero(np.bincount(numbers))
    made = "" if n_clusters == n else f", clustered by prompt ({n_clusters} prompts)"
    return Estimate(
        value=float(success.mean()),
        low=ends[0].low,
        high=ends[1].high,
        level=level,
        n=n,
        n_missing=n_missing,
        method=f"share of {n} scored responses; {percent(level)} Wilson interval{made}" + missing_words(n_missing),
    )


def _wilson(success: Array, numbers: NDArray[np.intp], level: float) -> Interval:
    size = effective_size(success, numbers, level=level)
    rate = float(success.mean())
    found = wilson(size if rate == 1 else rate * size, size, level=level)
    n_clusters = int(np.count_nonzero(np.bincount(numbers)))
    if n_clusters == success.size:
        return found
    # One response that differs shows little of how clusters do: never surer than if all had been alike.
    surest = wilson(n_clusters, n_clusters, level=level).low
    return Interval(low=min(found.low, surest), high=max(found.high, 1 - surest))


def jackknife_clusters(
    full: float, without: Array, *, bounds: tuple[float, float], level: float = 0.95
) -> Interval | None:
    """Jackknife-t interval of any statistic, from its value with each cluster left out, shape (clusters,).

    None below two clusters, where a replicate is undefined (NaN), and where none differs: then nothing shows how much
    clusters do.
    """
    n = without.size
    if n < 2 or np.isnan(without).any():
        return None
    error = float(np.square(without - without.mean()).sum() * (n - 1) / n) ** 0.5
    if error <= _ALIKE:
        return None
    half = _student(n - 1, level) * error
    return Interval(low=max(bounds[0], full - half), high=min(bounds[1], full + half))


def _student(df: float, level: float) -> float:
    from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs]  # here: loading scipy takes a while

    return float(stdtrit(df, (1 + level) / 2))
