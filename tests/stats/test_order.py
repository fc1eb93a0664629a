"""Kendall's τ with its permutation test against scipy, and partial τ against its formula and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import kendalltau

from safebasin import stats
from safebasin.errors import StudyError


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("alternative", ["less", "greater", "two-sided"])
def test_without_ties_it_is_scipys(seed: int, alternative: str) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.random(7), rng.random(7)
    expected = kendalltau(x, y, method="exact", alternative=alternative)
    found = stats.kendall(list(x), list(y))
    assert found.tau == pytest.approx(expected.statistic)
    assert getattr(found, f"p_{alternative.replace('-', '_')}") == pytest.approx(expected.pvalue)
    assert found.drawn is None


@pytest.mark.parametrize("alternative", ["less", "greater", "two-sided"])
def test_above_nine_models_p_is_that_of_the_exact_test_but_for_chance(alternative: str) -> None:
    rng = np.random.default_rng(3)
    x = rng.random(21)
    y = rng.random(21) - 0.6 * x
    expected = kendalltau(x, y, method="exact", alternative=alternative)
    found = stats.kendall(list(x), list(y), draws=20_000)
    assert found.tau == pytest.approx(expected.statistic)
    assert found.drawn == 20_000
    assert getattr(found, f"p_{alternative.replace('-', '_')}") == pytest.approx(expected.pvalue, abs=0.01)


def test_the_seed_draws_the_permutations() -> None:
    x, y = list(range(12)), [3, 11, 4, 2, 6, 5, 9, 7, 12, 8, 1, 10]
    first, again, other = (stats.kendall(x, y, seed=seed, draws=200) for seed in (1, 1, 2))
    assert first == again
    assert first.p_less != other.p_less


def test_ties_are_tau_b() -> None:
    x, y = [1, 1, 2, 3, 4], [4, 3, 3, 2, 1]
    assert stats.kendall(x, y).tau == pytest.approx(kendalltau(x, y, variant="b").statistic)


def test_six_models_in_perfect_inverse_order() -> None:
    found = stats.kendall([1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1])
    assert found.tau == -1
    assert found.p_less == pytest.approx(1 / 720)
    assert found.p_greater == 1


def test_one_that_does_not_vary_says_nothing() -> None:
    found = stats.kendall([1, 1, 1, 1], [1, 2, 3, 4])
    assert (found.tau, found.p_less) == (0, 1)


def test_too_few_models_or_far_too_many() -> None:
    for n in (2, 501):
        with pytest.raises(StudyError, match="of 3 to 500 models"):
            stats.kendall(list(range(n)), list(range(n)))
    with pytest.raises(StudyError, match="two orders"):
        stats.partial_kendall([1, 2, 3], [1, 2, 3], [1, 2])


def test_ties_are_counted_by_enumeration() -> None:
    # Pairings of (1, 1, 2) with (1, 2, 3): the sum of signs is 2, 0 or −2, each in two of six.
    found = stats.kendall([1, 1, 2], [1, 2, 3])
    assert found.tau == pytest.approx(2 / math.sqrt(6))
    assert (found.p_less, found.p_greater, found.p_two_sided) == pytest.approx((1, 1 / 3, 2 / 3))


@pytest.mark.parametrize("undefined", [math.nan, math.inf])
def test_an_undefined_number_has_no_place_in_an_order(undefined: float) -> None:
    with pytest.raises(StudyError, match="numbers to order must be finite"):
        stats.kendall([1, 2, undefined], [1, 2, 3])


def test_partial_tau_is_its_formula_of_three_plain_ones() -> None:
    rng = np.random.default_rng(0)
    z = rng.integers(0, 5, 15)
    x, y = z + rng.normal(size=15), -z + rng.normal(size=15)
    xy, xz, yz = (float(kendalltau(*pair).statistic) for pair in ((x, y), (x, z), (y, z)))
    found = stats.partial_kendall(list(x), list(y), [float(v) for v in z])
    assert found.tau == pytest.approx((xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2)))


@pytest.mark.slow
def test_a_relation_through_depth_alone_is_seen_by_plain_tau_only() -> None:
    rng = np.random.default_rng(5)
    z = rng.random(40)
    x, y = list(z + 0.3 * rng.normal(size=40)), list(-z + 0.3 * rng.normal(size=40))
    assert stats.kendall(x, y).p_less < 0.01
    assert stats.partial_kendall(x, y, list(z)).p_less > 0.05


def test_a_relation_beyond_depth_is_seen() -> None:
    rng = np.random.default_rng(6)
    z, own = rng.random(25), rng.random(25)
    found = stats.partial_kendall(list(z + own), list(-z - own + 0.1 * rng.normal(size=25)), list(z))
    assert found.tau < -0.5
    assert found.p_less < 0.001


def test_where_the_third_number_orders_one_of_them_nothing_is_left() -> None:
    found = stats.partial_kendall([1, 2, 3, 4], [1, 2, 3, 4], [2, 4, 6, 8])
    assert (found.tau, found.p_less, found.p_greater) == (0, 1, 1)


@pytest.mark.slow
def test_the_partial_test_holds_its_level_where_both_depend_on_the_third() -> None:
    """21 models, x and y related through z only: p ≤ 0.05 in about one of twenty."""
    rng, found = np.random.default_rng(1), 0
    for _ in range(600):
        z = rng.random(21)
        x, y = z + 0.5 * rng.normal(size=21), -z + 0.5 * rng.normal(size=21)
        found += stats.partial_kendall(list(x), list(y), list(z), draws=400).p_less <= 0.05
    assert 0.02 < found / 600 < 0.09
