"""Krippendorff's α of any number of judges, nominal, with missing verdicts."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from safebasin.errors import StudyError, expected
from safebasin.records import Estimate
from safebasin.stats.clusters import cluster_numbers, cluster_sums
from safebasin.stats.method_words import percent

__all__ = ["alpha", "estimate_alpha"]

Counts = NDArray[np.float64]
"""How often each label was given to each unit, shape (units, labels)."""

RESAMPLES = 2_000


def alpha(counts: Counts) -> float | None:
    """α of label counts by unit; units with fewer than two labels are left out. None where only one label occurs.

    Source: Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, nominal data:
    α = ((n − 1)·Σ o_cc − Σ n_c(n_c − 1)) / (n(n − 1) − Σ n_c(n_c − 1)).
    """
    given = counts.sum(axis=1)
    return _alpha(np.where((given >= 2)[:, None], counts, 0.0), np.ones(len(counts)))


def _alpha(counts: Counts, weights: NDArray[np.float64]) -> float | None:
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
    whole units are resampled, so that the interval also covers which units were asked about.
    """
    if clusters is not None and any(len(row) != len(clusters) for row in ratings):
        given = (len(clusters), [len(row) for row in ratings])
        raise StudyError(expected("clusters", "one for each response", given, "Name the prompt of each."))
    if len({len(row) for row in ratings}) > 1:
        lengths = [len(row) for row in ratings]
        raise StudyError(expected("rows of labels", "of equal length", lengths, "Pair them by response."))
    counts = _counts(ratings)
    kept = counts.sum(axis=1) >= 2
    names = [(clusters[i] if clusters is not None else i) for i in np.flatnonzero(kept)]
    counts = counts[kept]
    words = f"Krippendorff's α (nominal) of {len(ratings)} judges on {len(counts)} responses"
    value = alpha(counts) if len(counts) else None
    missing = sum(label is None for row in ratings for label in row)
    if value is None:
        why = ": undefined, only one label occurs" if len(counts) else ": nothing was judged twice"
        return Estimate(value=None, level=level, n=len(counts), n_missing=missing, method=words + why)
    found, n_clusters = _resampled(counts, names, seed)
    resampled = "responses" if n_clusters == len(counts) else f"{n_clusters} prompts"
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    left = f", {RESAMPLES - len(found)} of them undefined" if len(found) < RESAMPLES else ""
    return Estimate(
        value=value,
        low=float(min(low, value)),
        high=float(max(high, value)),
        level=level,
        n=len(counts),
        n_missing=missing,
        method=f"{words}; {percent(level)} bootstrap over {resampled} ({RESAMPLES} resamples{left}, seed {seed})",
    )


def _resampled(counts: Counts, clusters: Sequence[Hashable], seed: int) -> tuple[list[float], int]:
    """α of each bootstrap sample of clusters, those where it is undefined left out, and the number of clusters."""
    # Units with the same labels are exchangeable, so only how often each kind of unit is drawn matters; and so are
    # clusters of the same kinds.
    kinds, which = np.unique(counts, axis=0, return_inverse=True)
    own = cluster_sums(np.eye(len(kinds))[which.reshape(-1)], cluster_numbers(clusters, len(counts)))
    contents, often = np.unique(own, axis=0, return_counts=True)
    draws = np.random.default_rng(seed).multinomial(len(own), often / len(own), size=RESAMPLES)
    found = (_alpha(kinds, draw @ contents) for draw in draws.astype(np.float64))
    return [value for value in found if value is not None], len(own)


def _counts(ratings: Sequence[Sequence[str | None]]) -> Counts:
    names = sorted({label for row in ratings for label in row if label is not None})
    index = {name: i for i, name in enumerate(names)}
    counts = np.zeros((len(ratings[0]) if ratings else 0, len(names)))
    for row in ratings:
        for unit, label in enumerate(row):
            if label is not None:
                counts[unit, index[label]] += 1
    return counts
