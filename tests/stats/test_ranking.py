"""Rankings by margin: order, what is apart, and what cannot be told apart."""

from __future__ import annotations

from itertools import combinations
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from safebasin import stats
from safebasin.errors import StudyError
from safebasin.records import Estimate
from safebasin.stats import ranking

ALPHAS = np.linspace(-1, 1, 9)


def model(rate: float, seed: int, prompts: int = 60, directions: int = 4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random((directions, 9, prompts)) < rate).astype(float)


def test_models_far_apart_are_ranked_and_alike_ones_are_grouped() -> None:
    found = stats.rank_by_margin(["weak", "strong", "twin"], [model(0.8, 0), model(0.2, 1), model(0.2, 2)], ALPHAS)
    assert found.order[-1] == "weak"
    assert set(found.groups) == {tuple(found.order[:2])}
    apart = {frozenset((p.first, p.second)) for p in found.pairs if p.is_apart}
    assert apart == {frozenset(("weak", "strong")), frozenset(("weak", "twin"))}
    assert [m.value for m in found.margins] == sorted((m.value or 0 for m in found.margins), reverse=True)


def test_where_nothing_is_apart_every_pair_is_at_the_first_level() -> None:
    found = stats.rank_by_margin("abc", [model(0.5, i) for i in range(3)], ALPHAS)
    assert {round(p.difference.level, 6) for p in found.pairs} == {round(1 - 0.05 / 3, 6)}


def test_holm_lowers_the_bar_once_pairs_are_settled() -> None:
    """Two models apart from a third at a third of 5 %; what is left between the two is asked at 5 %."""
    found = stats.rank_by_margin(["far", "one", "twin"], [model(0.9, 0), model(0.2, 1), model(0.2, 2)], ALPHAS)
    levels = {frozenset((p.first, p.second)): round(p.difference.level, 6) for p in found.pairs}
    assert levels == {
        frozenset(("far", "one")): round(1 - 0.05 / 3, 6),
        frozenset(("far", "twin")): round(1 - 0.05 / 3, 6),
        frozenset(("one", "twin")): 0.95,
    }


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=5, unique=True))
def test_pairs_are_apart_where_holm_rejects_their_p_values(rates: list[float]) -> None:
    """Against Holm as written: ordered p-values, each against 5 % by the number that is left."""
    error = 0.125

    def normal(before: np.ndarray, after: np.ndarray, alphas: np.ndarray, *, level: float, **_: object) -> Estimate:
        value, half = before.flat[0] - after.flat[0], error * NormalDist().inv_cdf((1 + level) / 2)
        return Estimate(value=value, low=value - half, high=value + half, level=level)

    names = [str(i) for i in range(len(rates))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "estimate_margin_difference", normal)
        found = stats.rank_by_margin(names, [np.full((3, 9, 3), rate) for rate in rates], ALPHAS)
    p = {
        frozenset((names[i], names[j])): 2 * NormalDist().cdf(-abs(rates[i] - rates[j]) / error)
        for i, j in combinations(range(len(rates)), 2)
    }
    rejected: set[frozenset[str]] = set()
    for step, pair in enumerate(sorted(p, key=lambda pair: p[pair])):
        if p[pair] > 0.05 / (len(p) - step):
            break
        rejected.add(pair)
    assert {frozenset((q.first, q.second)) for q in found.pairs if q.is_apart} == rejected


def test_the_same_model_twice_cannot_be_told_apart() -> None:
    one = model(0.4, 0)
    found = stats.rank_by_margin("ab", [one, one], ALPHAS)
    assert found.groups == (("a", "b"),)
    assert found.pairs[0].difference.value == 0


def test_two_directions_have_no_interval_and_nothing_is_told_apart() -> None:
    found = stats.rank_by_margin("ab", [model(0.1, 0, directions=2), model(0.9, 1, directions=2)], ALPHAS)
    assert found.order == ("a", "b")
    assert not found.pairs[0].is_apart


@pytest.mark.parametrize(("is_drawn", "apart"), [(True, False), (False, True)])
def test_one_direction_decides_only_where_it_is_all_there_is(is_drawn: bool, apart: bool) -> None:
    models = [model(0.1, 0, directions=1), model(0.9, 1, directions=1)]
    found = stats.rank_by_margin("ab", models, ALPHAS, region="to:c, toward", is_drawn=is_drawn)
    assert found.pairs[0].difference.low > 0
    assert found.pairs[0].is_apart is apart
    assert found.groups == (() if apart else (("a", "b"),))
    assert found.region == found.pairs[0].region == "to:c, toward"


def test_one_model_is_no_ranking() -> None:
    with pytest.raises(StudyError, match="two or more"):
        stats.rank_by_margin("a", [model(0.1, 0)], ALPHAS)


def one_direction(seed: int, prompts: int = 80) -> np.ndarray:
    """Each prompt breaks somewhere along one direction: shape (1, alphas, prompts)."""
    breaks = np.random.default_rng(seed).normal(0.0, 0.5, prompts)
    return (ALPHAS[:, None] >= breaks).astype(float)[None]


@pytest.mark.parametrize("n_pairs", [6, 190, 4950])
def test_levels_that_no_resample_reaches_have_students_tail(n_pairs: int) -> None:
    """One direction: what is apart at the level of many pairs is so by a t test over prompts."""
    before, after = one_direction(0), one_direction(1)
    level = 1 - 0.05 / n_pairs
    found = stats.estimate_margin_difference(before, after, ALPHAS, level=level)
    own = stats_margins(after) - stats_margins(before)
    expected = scipy_stats.ttest_1samp(own, 0).confidence_interval(level)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= expected.low + 1e-12
    assert found.high >= expected.high - 1e-12
    assert "Student's t interval over prompts" in found.method
    assert "Student" not in stats.estimate_margin_difference(before, after, ALPHAS).method


def stats_margins(success: np.ndarray) -> np.ndarray:
    """The margin of each prompt."""
    return 1 - success[0].mean(axis=0)


def test_a_stopped_direction_is_bounded_by_the_prompts_that_it_was_asked() -> None:
    """Flat, 49 of 520 prompts asked at a point: the bound of a ranking is the one of its panel."""
    asked = np.ones((1, 9, 520), dtype=bool)
    asked[:, 3, 49:] = False
    told, done = np.where(asked, 0.0, np.nan), np.zeros((1, 9, 520))
    found = stats.rank_by_margin("ab", [done, done], ALPHAS, told=[told, told], is_drawn=False)
    panel = stats.estimate_margin(done, ALPHAS, n_prompts=49)
    assert {m.low for m in found.margins} == {panel.low}
    assert panel.low == pytest.approx(0.025 ** (1 / 49))


def test_a_difference_that_stopping_could_make_tells_no_models_apart() -> None:
    one, other = model(0.30, 0), model(0.36, 0)  # the same draws, so that each verdict moves one way
    plain = stats.rank_by_margin("ab", [one, other], ALPHAS)
    assert plain.pairs[0].is_apart
    off = 0.04
    leaning = [(each + off, each - off) for each in (one, other)]
    found = stats.rank_by_margin("ab", [one, other], ALPHAS, leaning=leaning)
    assert not found.pairs[0].is_apart
    assert found.pairs[0].difference.value == plain.pairs[0].difference.value
    assert found.pairs[0].difference.low == pytest.approx((plain.pairs[0].difference.low or 0) - 2 * off)
    half = stats.rank_by_margin("ab", [one, other], ALPHAS, leaning=[leaning[0], ()])
    assert half.pairs[0].difference.low == pytest.approx((plain.pairs[0].difference.low or 0) - off)
    assert half.margins[1] == plain.margins[1]
    assert all("widened by what stopping" in pair.difference.method for pair in (*found.pairs, *half.pairs))
    assert "widened" not in plain.pairs[0].difference.method
    assert found.margins[1].low == pytest.approx((plain.margins[1].low or 0) - off)
