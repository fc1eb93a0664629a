"""Rows of verdicts of which a random part was asked, as rows that statistics of whole tables take. No estimates here.

At a point that was stopped after n of N prompts the rate is the mean p over the n. The row is filled so that its mean
is p, and so that whatever resamples, leaves out or interpolates prompts does to that mean what it does to a mean of n:
an asked prompt x becomes p + N/n·(x − p), one that was not asked p. These are the influence values of the mean over
those that are present, so that the bootstrap has its variance s²/n (which p in the place of the rest would understate
by (n/N)²), a jackknife the same, and two points that were asked the same prompts their covariance. Single values may
lie outside [0, 1].
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from safebasin.stats.landscape import Array

__all__ = ["complete_rows"]


def complete_rows(
    success: Array, asked: NDArray[np.bool_], among: NDArray[np.bool_] | None = None, *, off: float = 0.0
) -> Array:
    """Rows of which every prompt has a value; those that were asked whole stay as they are.

    A missing verdict stays missing, and stands for as many of those that were not asked as any other asked one does:
    with all of them failures, or successes, the mean is what it would be over the n.

    Args:
        success: 0, 1, or NaN where the verdict is missing or the prompt was not asked, shape (points, prompts).
        asked: which were, the same shape.
        among: the prompts that a statistic is taken over, shape (prompts,); None is all. Others get values of no use.
        off: added to all values of a row whose mean is below a half if > 0, above a half if < 0: how far, on average,
            such a mean is drawn to the ends of the scale by stopping there (`sequences.stopping_bias`).
    """
    wanted = np.ones(success.shape[1:], dtype=np.bool_) if among is None else among
    found = success.copy()
    for row in np.flatnonzero((~asked & wanted).any(axis=-1)):
        found[row] = _completed(success[row], asked[row], wanted, off)
    return found


def _completed(success: Array, asked: NDArray[np.bool_], among: NDArray[np.bool_], off: float) -> Array:
    scored, left = asked & among & ~np.isnan(success), np.flatnonzero(~asked & among)
    if not scored.any():
        return np.full(success.shape, np.nan)
    n, mean = int((asked & among).sum()), float(success[scored].mean())
    each = (n + left.size) / n  # what an asked one stands for
    found = np.where(asked, mean + each * (success - mean), mean)
    n_missing = n - int(scored.sum())
    found[left[: math.ceil((each - 1) * n_missing)]] = np.nan
    return found + off if off * (0.5 - mean) > 0 else found
