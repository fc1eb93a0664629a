"""Confidence sequences of a finite set: coverage by enumeration, other computations, known numbers."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats  # pyright: ignore[reportMissingTypeStubs]

from safebasin.errors import StudyError
from safebasin.stats import estimate_sequence
from safebasin.stats import sequences as module
from safebasin.stats.sequences import confidence_set, fewest_to_decide, sequence

distributions: Any = scipy_stats


# --- coverage --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("size", range(1, 11))
def test_all_looks_together_miss_the_set_no_more_often_than_they_may(size: int, level: float) -> None:
    for successes in range(size + 1):
        missed = total = 0
        for at in combinations(range(size), successes):  # all orders: those of equal answers are one
            order = np.zeros(size, dtype=int)
            order[list(at)] = 1
            counts = np.concatenate(([0], np.cumsum(order)))
            sets = [confidence_set(int(k), n, size, level) for n, k in enumerate(counts)]
            missed += any(not low <= successes <= high for low, high in sets)
            total += 1
        assert missed / total <= 1 - level + 1e-12


@pytest.mark.parametrize(("size", "level"), [(40, 0.5), (40, 0.95), (80, 0.9)])
def test_whoever_stops_when_it_suits_is_still_right(size: int, level: float) -> None:
    """By the probability that any look misses, which no rule of stopping can exceed: exact, look by look."""
    worst = 0.0
    for successes in range(size + 1):
        kept, missed = {0: 1.0}, 0.0
        for n in range(1, size + 1):
            ahead: dict[int, float] = {}
            for k, chance in kept.items():
                up = (successes - k) / (size - n + 1)
                for further, share in ((k + 1, up), (k, 1 - up)):
                    if share <= 0:
                        continue
                    low, high = confidence_set(further, n, size, level)
                    if low <= successes <= high:
                        ahead[further] = ahead.get(further, 0.0) + chance * share
                    else:
                        missed += chance * share
            kept = ahead
        assert missed <= 1 - level + 1e-12
        worst = max(worst, missed)
    assert worst > (1 - level) / 20, "it is no interval that holds everything"


def test_a_plain_interval_looked_at_often_is_wrong_more_often() -> None:
    """What the sequence is for: Clopper and Pearson's interval after each answer misses far more than one in twenty."""
    rng, size, successes, missed = np.random.default_rng(0), 400, 120, 0
    for _ in range(200):
        order = rng.permutation(np.arange(size) < successes)
        counts = np.cumsum(order)[:200]
        n = np.arange(1, 201)
        low = np.where(counts > 0, distributions.beta.ppf(0.025, counts, n - counts + 1), 0)
        high = np.where(counts < n, distributions.beta.ppf(0.975, counts + 1, n - counts), 1)
        missed += bool(((low > 0.3) | (high < 0.3)).any())
    assert missed / 200 > 0.1


# --- the same by other means -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "n", "size"), [(0, 5, 20), (3, 10, 40), (7, 7, 64), (12, 51, 80), (1, 74, 520)])
def test_it_is_the_ratio_of_prior_and_posterior(k: int, n: int, size: int) -> None:
    every = np.arange(size + 1)
    a = module.PRIOR
    prior = distributions.betabinom.pmf(every, size, a, a)
    posterior = distributions.betabinom.pmf(every - k, size - n, a + k, a + n - k)
    with np.errstate(divide="ignore"):
        kept = every[prior / posterior < 20]
    assert confidence_set(k, n, size) == (kept.min(), kept.max())
    assert kept.size == kept.max() - kept.min() + 1, "without gaps"


@pytest.mark.parametrize(("k", "n", "size"), [(0, 5, 20), (3, 10, 40), (12, 51, 80)])
def test_it_is_the_evidence_over_the_likelihood(k: int, n: int, size: int) -> None:
    """Bayes' rule the other way round: how likely k of n is over the prior, over how likely it is for each set."""
    every, a = np.arange(size + 1), module.PRIOR
    likelihood = distributions.hypergeom.pmf(k, size, every, n)
    evidence = (distributions.betabinom.pmf(every, size, a, a) * likelihood).sum()
    kept = every[evidence < 20 * likelihood]
    assert confidence_set(k, n, size) == (kept.min(), kept.max())


# --- known numbers ---------------------------------------------------------------------------------------------------


def test_known_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert confidence_set(0, 128, 520) == (0, 20)
    assert confidence_set(128, 128, 520) == (500, 520)
    assert confidence_set(0, 0, 520) == (0, 520), "nothing is known before the first"
    assert confidence_set(17, 80, 80) == (17, 17), "everything is after the last"
    assert [fewest_to_decide(size, 0.1) for size in (64, 80, 200, 520)] == [33, 34, 44, 49]
    monkeypatch.setattr(module, "PRIOR", 1.0)
    assert confidence_set.__wrapped__(0, 128, 520) == (0, 26), "5 % under the uniform prior"


def test_looks_are_taken_together() -> None:
    first, both = sequence([(40, 0, 0)], 80), sequence([(40, 0, 0), (60, 6, 0)], 80)
    alone = sequence([(60, 6, 0)], 80)
    assert (both.low, both.high) == (max(first.low, alone.low), min(first.high, alone.high))
    assert first.high < alone.high


def test_where_no_rate_is_left_the_last_look_counts() -> None:
    assert confidence_set(0, 48, 80)[1] < confidence_set(32, 80, 80)[0]
    assert sequence([(48, 0, 0), (80, 32, 0)], 80) == sequence([(80, 32, 0)], 80)


def test_a_missing_verdict_may_be_either() -> None:
    found, less, more = (sequence([(50, *counts)], 100) for counts in ((10, 4), (10, 0), (14, 0)))
    assert (found.low, found.high) == (less.low, more.high)


def test_an_estimate_of_what_was_asked() -> None:
    success = np.zeros(51)
    success[[3, 40]] = 1
    success[7] = np.nan
    found = estimate_sequence(success, (34, 51), 80)
    wanted = sequence([(34, 1, 1), (51, 2, 1)], 80)
    assert (found.value, found.n, found.n_missing) == (pytest.approx(2 / 50), 50, 1)
    assert (found.low, found.high) == (wanted.low, wanted.high)
    assert "to the first 51 of 80 prompts" in found.method
    assert "confidence sequence" in found.method
    assert "1 missing verdict " in found.method
    unknown = estimate_sequence(np.full(34, np.nan), (34,), 80)
    assert (unknown.value, unknown.low, unknown.n_missing) == (None, None, 34)


def test_the_interval_holds_its_rate_even_if_an_early_look_does_not() -> None:
    success = np.concatenate((np.zeros(48), np.ones(12)))
    found = estimate_sequence(success, (48, 60), 80)
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high
    assert math.isclose(found.value, 0.2)


@pytest.mark.parametrize("given", [(-1, 3, 5), (4, 3, 5), (3, 6, 5), (0, 0, 0)])
def test_counts_that_do_not_go_together_are_refused(given: tuple[int, int, int]) -> None:
    with pytest.raises(StudyError, match="a look must be k ≤ n ≤ size"):
        confidence_set(*given)
