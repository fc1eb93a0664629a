"""Numbers of models that were tuned from several seeds and asked the same prompts: means with their intervals. Pure.

Seeds stand where directions stand elsewhere: both they and the prompts are samples, crossed, and the interval is the
two-way jackknife over both, with at most seeds − 1 degrees of freedom. Seeds that end alike say that most seeds do, not
that all do: then the share of seeds that behave so is bounded as well (Clopper–Pearson, 0.025^(1/seeds): eight alike
seeds bound it by 63 %).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from safebasin.records import Estimate
from safebasin.stats.intervals import Interval, hull, jackknife_means
from safebasin.stats.landscape import Array

__all__ = ["alike_seeds", "batch_effect", "interaction", "over_models", "over_seeds", "rate_effect", "sign_test"]

_LEVEL = 0.95
_ALIKE = 1e-12

Corners = tuple[tuple[Array, Array], tuple[Array, Array]]
"""Answered at (low rate, high rate), each at (small batch, large batch); arrays of shape (seeds, prompts)."""


def over_seeds(
    values: Array, what: str, *, bounds: tuple[float, float] = (0.0, 1.0), other: tuple[float, float] | None = None
) -> Estimate:
    """The mean over seeds and prompts, with its interval.

    Args:
        values: what each model did with each prompt: 0 or 1, or a contrast of such; shape (seeds, prompts), at least
            two of each.
        what: the mean in words.
        bounds: range of the mean.
        other: where another seed may lie if these end alike; `bounds` if None.
    """
    n_seeds, n_prompts = values.shape
    per_seed = values.mean(axis=1)
    without = (values.sum(axis=1, keepdims=True) - values) / (n_prompts - 1)
    alike = float(np.ptp(per_seed)) <= _ALIKE
    limits = other if alike and other is not None else bounds
    found = jackknife_means(per_seed, without, bounds=limits, level=_LEVEL, most_df=n_seeds - 1)
    if alike:
        found = hull([found, alike_seeds(float(per_seed[0]), n_seeds, limits)])
    words = "two-way jackknife" + (", and the bound that seeds alike allow" if alike else "")
    return Estimate(
        value=float(per_seed.mean()),
        low=found.low if found else None,
        high=found.high if found else None,
        level=_LEVEL,
        n=int(values.size),
        method=f"{what}; {n_seeds} training seeds, {n_prompts} prompts; 95 % interval: {words}",
    )


def over_models(values: Sequence[float], what: str, bounds: tuple[float, float]) -> Estimate:
    """The mean of a number that each model has, a model a seed, with Student's interval.

    Args:
        values: of each model, at least two.
        what: the mean in words.
        bounds: range of the number.
    """
    each = np.asarray(values, dtype=np.float64)
    found = jackknife_means(each, np.repeat(each[:, None], each.size, axis=1), bounds=bounds, level=_LEVEL)
    return Estimate(
        value=float(each.mean()),
        low=found.low if found else None,
        high=found.high if found else None,
        level=_LEVEL,
        n=each.size,
        method=f"{what}; {each.size} training seeds; 95 % interval: Student's t over seeds",
    )


def alike_seeds(value: float, n: int, bounds: tuple[float, float]) -> Interval:
    """Bound the share of seeds from n that all gave this value: at least 0.025^(1/n) of seeds do, the rest may be
    anywhere.
    """
    share = ((1 - _LEVEL) / 2) ** (1 / n)
    low, high = (share * value + (1 - share) * bound for bound in bounds)
    return Interval(low=low, high=high)


def sign_test(values: Array, limit: float) -> float:
    """Exact two-sided p-value of the sign test of seeds: that as many of them lie on one side, were both as likely.

    Args:
        values: as of `over_seeds`.
        limit: what a seed's mean lies above or, itself included, below.
    """
    n_seeds = len(values)
    above = int((values.mean(axis=1) > limit + _ALIKE).sum())
    fewer = min(above, n_seeds - above)
    return min(1.0, 2 * sum(math.comb(n_seeds, k) for k in range(fewer + 1)) / 2**n_seeds)


def rate_effect(corners: Corners) -> Estimate:
    """Main effect of the learning rate: share answered at the high one − at the low one, mean over batches."""
    (low_small, low_large), (high_small, high_large) = corners
    contrast = (high_small + high_large - low_small - low_large) / 2
    return over_seeds(contrast, "main effect of the rate on the share answered", bounds=(-1.0, 1.0))


def batch_effect(corners: Corners) -> Estimate:
    """Main effect of the batch: share answered with the small one − with the large one, mean over rates."""
    (low_small, low_large), (high_small, high_large) = corners
    contrast = (high_small - high_large + low_small - low_large) / 2
    return over_seeds(contrast, "main effect of the batch on the share answered", bounds=(-1.0, 1.0))


def interaction(corners: Corners) -> Estimate:
    """Effect of the batch at the high rate − at the low rate."""
    (low_small, low_large), (high_small, high_large) = corners
    contrast = (high_small - high_large) - (low_small - low_large)
    return over_seeds(contrast, "effect of the batch at the high rate − at the low rate", bounds=(-2.0, 2.0))
