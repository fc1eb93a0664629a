"""Confidence sequences of the rate of a finite set of prompts that are asked one after the other, in random order.

An interval of a fixed size fails where one looks, and stops when the rate is known well enough. A confidence sequence
holds at all looks together, so that it holds whenever one stops, whatever made one stop. No folder, no plan.

The prior of the number of successes K in a set of N is beta-binomial with a = b = 1/2. After n draws without
replacement, k of them successes, the ratio prior(K) / posterior(K) is at the true K a martingale that starts at 1, so
that by Ville's inequality it ever reaches 1/α with probability α at most: {K: prior(K) / posterior(K) < 1/α}.

Source: Waudby-Smith and Ramdas 2020, "Confidence sequences for sampling without replacement", arXiv 2006.04347,
theorem 3.1 and section 3.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import cast

import numpy as np

from safebasin.errors import StudyError, expected
from safebasin.records import Estimate
from safebasin.stats.intervals import Interval
from safebasin.stats.landscape import Array
from safebasin.stats.method_words import missing_words, percent

__all__ = ["confidence_set", "estimate_sequence", "fewest_to_decide", "sequence", "stopping_bias"]

PRIOR = 0.5
"""Both parameters of the prior. With 1 the sets of sure rates are wider by a third, those of others the same."""


@lru_cache(maxsize=65_536)
def confidence_set(k: int, n: int, size: int, level: float = 0.95) -> tuple[int, int]:
    """The fewest and the most successes in a whole set that one look does not rule out.

    Args:
        k: successes among the first n of the set in random order, 0 ≤ k ≤ n.
        n: how many were looked at, 0 ≤ n ≤ size.
        size: of the set, ≥ 1.
        level: coverage of all looks together, in (0, 1).

    Raises:
        StudyError: for counts that do not go together.
    """
    if not (0 <= k <= n <= size and size >= 1 and 0 < level < 1):
        got, remedy = (k, n, size, level), "Count successes among the first n of the set."
        raise StudyError(expected("a look", "k ≤ n ≤ size, and a level in (0, 1)", got, remedy))
    whole = np.arange(k, size - (n - k) + 1)
    ratio = _log_beta_binomial(whole, size, PRIOR, PRIOR) - _log_beta_binomial(
        whole - k, size - n, PRIOR + k, PRIOR + n - k
    )
    kept = whole[ratio < -math.log1p(-level)]  # an interval: the likelihood has one peak; and never empty, at k/n
    return int(kept[0]), int(kept[-1])


def _log_beta_binomial(k: np.ndarray, n: int, a: float, b: float) -> Array:
    from scipy.special import betaln  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

    found = -np.log1p(n) - betaln(n - k + 1, k + 1) + betaln(k + a, n - k + b) - betaln(a, b)
    return cast("Array", found)


def sequence(looks: Sequence[tuple[int, int, int]], size: int, *, level: float = 0.95) -> Interval:
    """The rates of a set that no look rules out.

    Where no rate is left, which happens with probability 1 − level at most, they are those of the last look.

    Args:
        looks: (n, successes, missing) of each, n ascending. A missing verdict counts as a failure in the lower bound
            and as a success in the upper one.
        size: of the set.
        level: coverage.
    """
    found = [
        (confidence_set(k, n, size, level)[0], confidence_set(k + missing, n, size, level)[1])
        for n, k, missing in looks
    ]
    low, high = max(one[0] for one in found), min(one[1] for one in found)
    if low > high:
        low, high = found[-1]
    return Interval(low=low / size, high=high / size)


def estimate_sequence(success: Array, looks: Sequence[int], size: int, *, level: float = 0.95) -> Estimate:
    """A rate of which the first of a set are known, with its confidence sequence: of the rate over the whole set.

    Args:
        success: verdicts on the first prompts of the set in the order in which they are asked, NaN where missing.
        looks: after how many it was looked at whether to stop, ascending; the last is all of these.
        size: of the set.
        level: coverage.
    """
    scored = ~np.isnan(success)
    n, n_missing = int(scored.sum()), int((~scored).sum())
    words = f"share of {n} scored responses, to the first {success.size} of {size} prompts in random order"
    if n == 0:
        return Estimate(value=None, level=level, n_missing=n_missing, method=f"{words}; nothing is scored")
    counts = [(at, int(np.nansum(success[:at])), int((~scored[:at]).sum())) for at in looks]
    value, found = float(np.nansum(success)) / n, sequence(counts, size, level=level)
    return Estimate(
        value=value,
        low=min(found.low, value),  # an early look may rule out what the later ones came to
        high=max(found.high, value),
        level=level,
        n=n,
        n_missing=n_missing,
        method=(
            f"{words}; {percent(level)} confidence sequence for the rate over all {size}, sampled without replacement: "
            f"it holds whenever one stops{missing_words(n_missing)}"
        ),
    )


@lru_cache(maxsize=1024)
def fewest_to_decide(size: int, width: float, level: float = 0.95) -> int:
    """After how many answers that are all alike the rate of a set is known within an interval of this width."""

    def wide(n: int) -> float:
        low, high = confidence_set(0, n, size, level)
        return (high - low) / size

    return next(n for n in range(1, size + 1) if wide(n) <= width)


def stopping_bias(first: int) -> float:
    """Bound how far, on average, the share of what was asked lies off the rate where a point may be stopped.

    Toward 0 below a half, toward 1 above it. Who stops after `first` answers that are all failures has seen nothing of
    the successes: that happens with probability (1 − p)ⁿ, and takes p(1 − p)ⁿ from the mean, which later stages dilute.
    It is largest at p = 1/(n + 1). A confidence sequence holds all the same; a mean over many points does not average
    this out.

    Args:
        first: after how many answers a point may be stopped at the earliest, all of them alike.
    """
    p = 1 / (first + 1)
    return p * (1 - p) ** first
