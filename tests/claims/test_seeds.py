"""Intervals over training seeds and prompts: their degrees of freedom, and how often they miss."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import stdtrit
from scipy.stats import binomtest

from safebasin.claims.seeds import over_seeds, sign_test
from safebasin.stats.intervals import jackknife_means
from safebasin.stats.landscape import Array


def answered(seed: int, *, n_seeds: int = 8, prompts: int = 80, spread: float = 0.3) -> Array:
    """Answered where seed, prompt and chance together are above zero: half of all, on average."""
    rng = np.random.default_rng(seed)
    shapes = ((n_seeds, 1), spread), ((1, prompts), 1.0), ((n_seeds, prompts), 1.0)
    return (sum(size * rng.normal(size=shape) for shape, size in shapes) > 0).astype(float)


def half_width(low: float | None, high: float | None) -> float:
    assert low is not None
    assert high is not None
    return (high - low) / 2


def test_seeds_that_hardly_differ_have_no_more_degrees_of_freedom_than_there_are_seeds() -> None:
    values = answered(0, spread=0.0)
    without = (values.sum(axis=1, keepdims=True) - values) / (values.shape[1] - 1)
    widest = jackknife_means(values.mean(axis=1), without, bounds=(-9.0, 9.0), most_df=1)
    assert widest is not None
    error = half_width(widest.low, widest.high) / stdtrit(1, 0.975)
    found = over_seeds(values, "share", bounds=(-9.0, 9.0))
    assert half_width(found.low, found.high) == pytest.approx(stdtrit(7, 0.975) * error)


@pytest.mark.parametrize("spread", [0.0, 0.3, 1.0])
def test_intervals_over_seeds_hold_the_truth(spread: float) -> None:
    """400 tables of eight seeds: at most 5 % miss, give or take two standard errors of the count."""
    missed = 0
    for seed in range(400):
        found = over_seeds(answered(seed, spread=spread), "share")
        missed += not (found.low or 0.0) <= 0.5 <= (found.high or 1.0)
    assert missed <= 400 * 0.05 + 2 * (400 * 0.05 * 0.95) ** 0.5


def test_the_sign_test_of_seeds_is_exact() -> None:
    for n, above in ((8, 8), (8, 7), (8, 4), (8, 0), (3, 3), (5, 1)):
        values = np.repeat([[0.2]] * above + [[0.05]] * (n - above), 20, axis=1)  # at the limit is not above it
        assert sign_test(values, 0.05) == pytest.approx(binomtest(above, n).pvalue)
