"""Krippendorff's α of any number of judges, nominal, with missing verdicts."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from safebasin.errors import StudyError, expected
from safebasin.records import Estimate
from safebasin.stats.agreement import least_agreement
from safebasin.stats.clusters import cluster_numbers
from safebasin.stats.method_words import percent

__all__ = ["estimate_alpha", "estimate_numbered_alpha"]

Counts = NDArray[np.float64]
"""How often each label was given to each kind of unit, shape (kinds, labels)."""

RESAMPLES = 2_000
_ALIKE = 1e-12
"""A spread below this is rounding."""


def _alpha(counts: Counts, weights: NDArray[np.float64]) -> float | None:
    """α of kinds of units, of each of which there are so many; each with two labels or more. None where only one label
    occurs.

    Source: Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, nominal data:
    α = ((n − 1)·Σ o_cc − Σ n_c(n_c − 1)) / (n(n − 1) − Σ n_c(n_c − 1)).
    """
    given = counts.sum(axis=1)
    pairs = (counts * (counts - 1)).sum(axis=1) / np.maximum(given - 1, 1)
    agreed = float(weights @ pairs)
    by_label = weights @ counts
    n = float(by_label.sum())
    chance = float((by_label * (by_label - 1)).sum())
    if n * (n - 1) - chance <= 0:
        return None
    return ((n - 1) * agreed - chance) / (n * (n - 1) - chance)


def estimate_alpha(
    ratings: Sequence[Sequence[str | None]],
    *,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """α with a percentile bootstrap over units, or over clusters of units.

    Args:
        ratings: one row a judge, each of one label a unit; None is missing.
        clusters: what each unit was asked, where several units are of one prompt: prompts are resampled as wholes.
        level: coverage that is asked for.
        seed: of the resampling.

    1 is perfect, 0 is chance. Deviation: Krippendorff resamples pairs with the expected disagreement held fixed; here
    whole units are resampled, so that the interval also covers which units were asked about. Where all labels agree, or
    every resample is alike, a bootstrap says nothing: then the lower bound is
    `safebasin.stats.agreement.least_agreement`, or no interval is claimed, as below two clusters.
    """
    if clusters is not None and any(len(row) != len(clusters) for row in ratings):
        given = (len(clusters), [len(row) for row in ratings])
        raise StudyError(expected("clusters", "one for each response", given, "Name the prompt of each."))
    if len({len(row) for row in ratings}) > 1:
        lengths = [len(row) for row in ratings]
        raise StudyError(expected("rows of labels", "of equal length", lengths, "Pair them by response."))
    names = sorted({label for row in ratings for label in row if label is not None})
    number = {None: -1} | {name: i for i, name in enumerate(names)}
    n_units = len(ratings[0]) if ratings else 0
    numbered = np.asarray([[number[label] for label in row] for row in ratings], dtype=np.int16)
    units = np.arange(n_units) if clusters is None else cluster_numbers(clusters, n_units)
    return estimate_numbered_alpha(numbered.reshape(len(ratings), n_units), units, level=level, seed=seed)


def estimate_numbered_alpha(
    ratings: NDArray[np.signedinteger], clusters: NDArray[np.integer], *, level: float = 0.95, seed: int = 0
) -> Estimate:
    """`estimate_alpha` of labels given by their numbers: millions of units at some bytes each.

    Args:
        ratings: numbers of labels, −1 where one is missing. Shape (judges, units).
        clusters: the number of what each unit was asked, ≥ 0. Shape (units,).
        level: coverage that is asked for.
        seed: of the resampling.
    """
    kept = (ratings >= 0).sum(axis=0, dtype=np.int16) >= 2
    n, missing = int(kept.sum()), int((ratings < 0).sum())
    words = f"Krippendorff's α (nominal) of {len(ratings)} judges on {n} responses"
    kinds, which = _kinds(ratings[:, kept])
    value = _alpha(kinds, np.bincount(which, minlength=len(kinds)).astype(np.float64)) if n else None
    if value is None:
        why = ": undefined, only one label occurs" if n else ": nothing was judged twice"
        return Estimate(value=None, level=level, n=n, n_missing=missing, method=words + why)
    numbers = cluster_numbers(clusters[kept], n)
    n_clusters = int(numbers.max()) + 1
    resampled = "responses" if n_clusters == n else f"{n_clusters} prompts"
    own = _contents(kinds, which, numbers, n_clusters)
    if n_clusters > 1 and np.count_nonzero(kinds, axis=1).max() == 1:
        least = least_agreement(own @ np.sign(kinds), n_clusters, level=level)
        noun = "responses" if n_clusters == n else "prompts"
        made = f"all agree; {percent(level)} bound that {n_clusters} {noun} alike and how rare the rarer label is allow"
        return Estimate(value=1.0, low=least, high=1.0, level=level, n=n, n_missing=missing, method=f"{words}: {made}")
    found = _resampled(kinds, own, seed)
    if n_clusters < 2 or np.ptp(found) <= _ALIKE:
        why = "α hangs on a single prompt" if n_clusters < 2 else f"none of {n_clusters} prompts makes a difference"
        made = f"no interval is claimed, since {why}"
        return Estimate(value=value, level=level, n=n, n_missing=missing, method=f"{words}; {made}")
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    left = f", {RESAMPLES - len(found)} of them undefined" if len(found) < RESAMPLES else ""
    return Estimate(
        value=value,
        low=float(min(low, value)),
        high=float(max(high, value)),
        level=level,
        n=n,
        n_missing=missing,
        method=f"{words}; {percent(level)} bootstrap over {resampled} ({RESAMPLES} resamples{left}, seed {seed})",
    )


def _kinds(ratings: NDArray[np.signedinteger]) -> tuple[Counts, NDArray[np.int32]]:
    """Kinds of units, by how often each label was given, ascending, shape (kinds, labels); and that of each unit."""
    which, base = np.zeros(ratings.shape[1], dtype=np.int32), len(ratings) + 1
    columns: list[NDArray[np.intp]] = []
    for label in range(int(ratings.max(initial=-1)) + 1):
        code = which * base + (ratings == label).sum(axis=0, dtype=np.int32)
        occur = np.flatnonzero(np.bincount(code))
        columns = [column[occur // base] for column in columns] + [occur % base]
        number = np.zeros(int(occur.max(initial=0)) + 1, dtype=np.int32)
        number[occur] = np.arange(occur.size)
        which = number[code]
    return np.stack(columns, axis=1).astype(np.float64) if columns else np.zeros((0, 0)), which


def _contents(kinds: Counts, which: NDArray[np.int32], clusters: NDArray[np.intp], n_clusters: int) -> Counts:
    """How often each kind of unit occurs in each cluster, shape (clusters, kinds)."""
    own = np.bincount(clusters * len(kinds) + which, minlength=n_clusters * len(kinds))
    return own.astype(np.float64).reshape(n_clusters, -1)


def _resampled(kinds: Counts, own: Counts, seed: int) -> list[float]:
    """α of each bootstrap sample of clusters, those where it is undefined left out."""
    # Units with the same labels are exchangeable, so only how often each kind of unit is drawn matters; and so are
    # clusters of the same kinds.
    contents, often = np.unique(own, axis=0, return_counts=True)
    draws = np.random.default_rng(seed).multinomial(len(own), often / len(own), size=RESAMPLES)
    found = (_alpha(kinds, draw @ contents) for draw in draws.astype(np.float64))
    return [value for value in found if value is not None]
