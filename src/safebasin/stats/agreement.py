"""How well two judges agree, or one judge with the truth: confusion table, accuracy, Cohen's κ."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from safebasin.errors import StudyError, expected
from safebasin.records import Estimate
from safebasin.stats.clusters import Clusters, cluster_numbers, effective_size_of, jackknife_clusters
from safebasin.stats.estimates import estimate_rate
from safebasin.stats.landscape import Array
from safebasin.stats.method_words import percent

__all__ = [
    "Confusion",
    "confusion",
    "confusions",
    "estimate_accuracy",
    "estimate_kappa",
    "least_agreement",
    "tabulate",
    "tabulate_clusters",
]

Labels = NDArray[np.integer]
"""Labels by their numbers."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts of pairs of labels: what is true (or said first) by row, what is said by column."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    @property
    def n(self) -> int:
        """All pairs."""
        return sum(map(sum, self.counts))

    def array(self) -> NDArray[np.float64]:
        """The counts, shape (labels, labels)."""
        return np.asarray(self.counts, dtype=np.float64).reshape(len(self.labels), len(self.labels))


def confusion(truth: Sequence[str], said: Sequence[str], *, labels: Sequence[str] | None = None) -> Confusion:
    """Count pairs of labels.

    Args:
        truth: the label of each response by the first judge, or the truth.
        said: by the second, in the same order.
        labels: which labels, in which order; default: all that occur, sorted.
    """
    if len(truth) != len(said):
        lengths = (len(truth), len(said))
        raise StudyError(expected("two rows of labels", "of equal length", lengths, "Pair them by response."))
    names = tuple(labels) if labels is not None else tuple(sorted({*truth, *said}))
    unknown = sorted({*truth, *said} - set(names))
    if unknown:
        raise StudyError(expected("labels", f"among {', '.join(names)}", unknown, "Name every label that occurs."))
    return tabulate(_numbered(truth, names), _numbered(said, names), labels=names)


def tabulate(truth: Labels, said: Labels, *, labels: Sequence[str]) -> Confusion:
    """`confusion` of labels given by their numbers in `labels`, (responses,) each."""
    counts = np.bincount(_pairs(truth, said, len(labels)), minlength=len(labels) ** 2).reshape(2 * (len(labels),))
    return Confusion(labels=tuple(labels), counts=tuple(map(tuple, counts.tolist())))


def confusions(
    truth: Sequence[str], said: Sequence[str], clusters: Sequence[Hashable], *, labels: Sequence[str]
) -> NDArray[np.float64]:
    """`confusion` of each cluster, such as the responses to one prompt. Shape (clusters, labels, labels)."""
    return tabulate_clusters(_numbered(truth, labels), _numbered(said, labels), clusters, n_labels=len(labels))


def tabulate_clusters(truth: Labels, said: Labels, clusters: Clusters, *, n_labels: int) -> NDArray[np.float64]:
    """`confusions` of labels given by their numbers, 0 to `n_labels` − 1, (responses,) each."""
    numbers = cluster_numbers(clusters, truth.size)
    n_clusters, cells = int(numbers.max(initial=-1)) + 1, n_labels**2
    counts = np.bincount(numbers * cells + _pairs(truth, said, n_labels), minlength=n_clusters * cells)
    return counts.astype(np.float64).reshape(n_clusters, n_labels, n_labels)


def _numbered(given: Sequence[str], labels: Sequence[str]) -> Labels:
    index = {label: number for number, label in enumerate(labels)}
    return np.asarray([index[label] for label in given], dtype=np.intp)


def _pairs(truth: Labels, said: Labels, n_labels: int) -> NDArray[np.intp]:
    return truth.astype(np.intp) * n_labels + said


def estimate_accuracy(table: Confusion, *, level: float = 0.95) -> Estimate:
    """Share of pairs that agree, with its Wilson interval. For pairs that are independent: of different prompts.

    Several responses to each prompt: `safebasin.stats.estimate_clustered_rate`.
    """
    return estimate_rate(int(np.trace(table.array())), table.n, level=level)


def estimate_kappa(table: Confusion, *, level: float = 0.95, by_prompt: NDArray[np.float64] | None = None) -> Estimate:
    """Cohen's κ: agreement beyond what the two rows of margins would give by chance.

    1 is perfect, 0 is chance; None where both always say the same one label, so that chance alone agrees fully. The
    interval is κ ± z·SE, cut at [−1, 1]; treat it as rough below about 30 pairs. Where just one of them always says the
    same, κ is 0 whatever the truth, and no interval is claimed. Where all pairs agree, its lower bound is
    `least_agreement`; where some do not and no prompt makes a difference, no interval is claimed.

    Args:
        table: all pairs.
        level: coverage.
        by_prompt: the same pairs by the prompt that they are of (`confusions`), where several are of one: then the
            interval is a jackknife over prompts.

    Source: Cohen 1960; standard error of Fleiss, Cohen and Everitt 1969, Psychological Bulletin 72(5).
    """
    words = f"Cohen's κ of {table.n} pairs"
    if table.n == 0:
        return Estimate(value=None, level=level, method=words)
    shares = table.array() / table.n
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    chance = float(rows @ columns)
    kappa = float(_kappas(shares))
    if np.isnan(kappa):
        return Estimate(value=None, level=level, n=table.n, method=words + ": undefined, only one label occurs")
    if np.count_nonzero(rows) == 1 or np.count_nonzero(columns) == 1:
        why = "0 by construction, since one of the two always says the same; no interval is claimed"
        return Estimate(value=kappa, level=level, n=table.n, method=f"{words}: {why}")
    if np.trace(table.array()) == table.n:
        return _all_agree(table, by_prompt, words, level)
    if by_prompt is not None and len(by_prompt) < table.n:
        return _clustered_kappa(kappa, by_prompt, words, level)
    both = columns[:, None] + rows[None, :]
    off = shares * np.square(both) * (1 - np.eye(len(rows)))
    on = np.diagonal(shares) * np.square(1 - (rows + columns) * (1 - kappa))
    variance = float(on.sum() + (1 - kappa) ** 2 * off.sum() - (kappa - chance * (1 - kappa)) ** 2)
    half = NormalDist().inv_cdf((1 + level) / 2) * (max(variance, 0.0) / table.n) ** 0.5 / (1 - chance)
    made = f"{percent(level)} interval from the standard error of Fleiss, Cohen and Everitt 1969"
    low, high = max(-1.0, kappa - half), min(1.0, kappa + half)
    return Estimate(value=kappa, low=low, high=high, level=level, n=table.n, method=f"{words}; {made}")


def _all_agree(table: Confusion, by_prompt: NDArray[np.float64] | None, words: str, level: float) -> Estimate:
    """κ = 1 with the least that so many pairs allow."""
    clusters = np.diag(table.array())[None] if by_prompt is None else np.diagonal(by_prompt, axis1=1, axis2=2)
    of = "pairs" if by_prompt is None or len(by_prompt) == table.n else "prompts"
    n = table.n if by_prompt is None else len(by_prompt)
    low = least_agreement(clusters, n, level=level)
    if low is None:
        why = f"{words}: all agree; no interval is claimed, since κ hangs on a single prompt"
        return Estimate(value=1.0, level=level, n=table.n, method=why)
    made = f"all agree; {percent(level)} bound that {n} {of} alike and how rare the rarer label is allow"
    return Estimate(value=1.0, low=low, high=1.0, level=level, n=table.n, method=f"{words}: {made}")


def least_agreement(agreed: Array, n: int, *, level: float = 0.95) -> float | None:
    """Bound κ, or Krippendorff's α, from below where all labels of all units agree.

    Both are 1 − d / (1 − e): d is the share that disagrees, e the agreement by chance. Half of the error goes to d,
    which is at most what no disagreement in n allows, 1 − (error/2)^(1/n); the other half to the share of the commonest
    label, at most Clopper–Pearson's bound of it (at the effective size of clusters: Korn and Graubard 1998). The least
    is where that d falls half on each of two labels, with all but the commonest as one.

    Args:
        agreed: how often each label was given in each cluster, shape (clusters, labels); one cluster for independent
            units, whose number is n.
        n: independent units, or clusters.
        level: of the interval that it is the lower end of.

    Returns:
        None below two units.
    """
    if n < 2:
        return None
    from scipy.special import betaincinv  # pyright: ignore[reportMissingTypeStubs]  # here: loading scipy takes a while

    error = (1 - level) / 2 / 2
    common, sizes = agreed[:, int(agreed.sum(axis=0).argmax())], agreed.sum(axis=1)
    share = float(common.sum() / sizes.sum())
    size = float(n) if len(agreed) == 1 else effective_size_of(common, sizes, level=level)
    rare = 1 - float(betaincinv(share * size + 1, (1 - share) * size, 1 - error))
    apart = 1 - error ** (1 / n)
    rare = min(rare, 0.5) * (1 - apart) + apart / 2
    return max(-1.0, 1 - apart / (2 * rare * (1 - rare)))


def _clustered_kappa(kappa: float, by_prompt: NDArray[np.float64], words: str, level: float) -> Estimate:
    """κ with a jackknife over prompts."""
    without = _kappas(by_prompt.sum(axis=0) - by_prompt)
    found = jackknife_clusters(kappa, without, bounds=(-1.0, 1.0), level=level)
    made = f"{percent(level)} interval by jackknife over {len(by_prompt)} prompts"
    if found is None:
        is_single = len(by_prompt) < 2 or bool(np.isnan(without).any())
        why = "κ hangs on a single prompt" if is_single else f"none of {len(by_prompt)} prompts makes a difference"
        made = f"no interval is claimed, since {why}"
    return Estimate(
        value=kappa,
        low=found.low if found else None,
        high=found.high if found else None,
        level=level,
        n=int(by_prompt.sum()),
        method=f"{words}; {made}",
    )


def _kappas(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """κ of many tables at once, shape (…, labels, labels) → (…); NaN where only one label occurs, or nothing."""
    n = tables.sum(axis=(-2, -1))
    shares = tables / np.maximum(n, 1e-300)[..., None, None]
    chance = (shares.sum(axis=-1) * shares.sum(axis=-2)).sum(axis=-1)
    agreed = np.trace(shares, axis1=-2, axis2=-1)
    defined = (n > 0) & (chance < 1)
    return np.where(defined, (agreed - chance) / np.where(defined, 1 - chance, 1.0), np.nan)
