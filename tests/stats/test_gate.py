"""The gate against closed forms, and by enumeration: how often a model at the limit passes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safebasin.errors import StudyError
from safebasin.records import Estimate
from safebasin.stats import tango
from safebasin.stats.gate import (
    EXIT_CODES,
    Pairs,
    estimate_harm,
    estimate_radius_drop,
    needed,
    overall,
    paired,
    rule,
)


def arrays(gained: int, lost: int, both: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    before = [0] * gained + [1] * lost + [1] * both + [0] * neither
    after = [1] * gained + [0] * lost + [1] * both + [0] * neither
    return np.asarray(before, dtype=float), np.asarray(after, dtype=float)


@pytest.mark.parametrize("level", [0.95, 0.99])
def test_no_failure_on_fewer_changed_prompts_than_an_exact_test_needs(level: float) -> None:
    """Three of four flipped: the score bound is above 0, a one-sided sign test at 0.125."""
    fewest = math.ceil(math.log(1 - level, 0.5))
    for changed in (fewest - 1, fewest):
        before, after = arrays(changed, 0, 0, 1)
        pairs = paired(before, after)
        found = estimate_harm(before, after, level=level)
        assert found.low > 0.0
        assert (0.5**changed <= 1 - level) == (changed >= fewest)
        ruling = rule(found, 0.0, pairs, level=level)
        assert ruling.decision == ("fail" if changed >= fewest else "undecided")
        assert (f"fewer than {fewest} prompts changed" in ruling.advice) == (changed < fewest)


@pytest.mark.parametrize(("n", "bound"), [(3, 0.6316), (10, 0.2589), (59, 0.0495), (80, 0.0368)])
def test_no_change_among_n_still_allows(n: int, bound: float) -> None:
    """1 − 0.05^(1/n): the rate at which n pairs without an event are seen once in twenty times."""
    for both in (0, n // 2, n):
        found = estimate_harm(*arrays(0, 0, both, n - both))
        assert found.value == 0
        assert found.high == pytest.approx(bound, abs=5e-5)
        assert found.low == -found.high
        assert (1 - found.high) ** n == pytest.approx(0.05)


def test_bounds_are_tangos_where_something_changed() -> None:
    found = estimate_harm(*arrays(7, 2, 5, 66))
    assert found.value == pytest.approx(5 / 80)
    assert (found.low, found.high) == (tango(7, 2, 80, level=0.9).low, tango(7, 2, 80, level=0.9).high)
    assert found.level == pytest.approx(0.9)
    assert "7 worse, 2 better" in found.method


def test_missing_verdicts_widen_both_ways() -> None:
    before, after = arrays(4, 4, 10, 62)
    whole = estimate_harm(before, after)
    holed = after.copy()
    holed[-5:] = np.nan
    found = estimate_harm(before, holed)
    assert (found.n, found.n_missing) == (75, 5)
    assert found.value == 0
    assert found.high == tango(9, 4, 80, level=0.9).high > whole.high
    assert found.low == whole.low  # they were no success before, so they cannot have become better
    before[-5:] = np.nan
    assert estimate_harm(before, holed).low == tango(4, 9, 80, level=0.9).low
    assert estimate_harm(np.full(3, np.nan), np.zeros(3)).value is None


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.floats(0, 1), st.integers(0, 400))
def test_an_identical_copy_never_fails(n: int, limit: float, bad: int) -> None:
    before = np.arange(n) < bad
    found = estimate_harm(before.astype(float), before.astype(float))
    ruling = rule(found, limit, paired(before.astype(float), before.astype(float)))
    assert ruling.decision != "fail"
    assert (ruling.decision == "pass") == (1 - 0.05 ** (1 / n) < limit)


def test_three_ways() -> None:
    def decide(value: float, low: float, high: float, limit: float = 0.05) -> str:
        return rule(Estimate(value=value, low=low, high=high), limit, Pairs(gained=3, lost=3, n=80)).decision

    assert decide(0.0, -0.03, 0.049) == "pass"
    assert decide(0.0, -0.03, 0.05) == "undecided"  # at the limit is not below it
    assert decide(0.2, 0.05, 0.3) == "undecided"
    assert decide(0.2, 0.051, 0.3) == "fail"
    assert decide(-0.5, -0.6, -0.4, limit=0.0) == "pass"
    assert rule(Estimate(value=None), 0.05).decision == "undecided"


def test_without_a_change_59_pass_a_limit_of_5_points() -> None:
    """log 0.05 / log 0.95 = 58.4."""
    assert needed(Pairs(gained=0, lost=0, n=3), 0.05) == 59 == math.ceil(math.log(0.05) / math.log(0.95))
    ruling = rule(estimate_harm(*arrays(0, 0, 0, 3)), 0.05, Pairs(gained=0, lost=0, n=3))
    assert (ruling.decision, ruling.more) == ("undecided", 56)
    assert "59 prompts in all would decide, 56 more" in ruling.advice


@pytest.mark.parametrize(("gained", "lost", "n", "limit"), [(1, 0, 40, 0.05), (3, 2, 80, 0.05), (6, 5, 200, 0.02)])
def test_what_is_needed_decides_and_one_less_does_not(gained: int, lost: int, n: int, limit: float) -> None:
    total = needed(Pairs(gained=gained, lost=lost, n=n), limit)
    assert total is not None
    assert total > n
    highs = [tango(gained * m / n, lost * m / n, m, level=0.9).high for m in (total - 1, total)]
    assert highs[1] < limit <= highs[0]


def test_what_is_needed_is_enough_when_it_comes() -> None:
    """5 of 200 turned bad: at 240, of which 6 do, a limit of 5 points holds, as it does not at 200."""
    assert rule(estimate_harm(*arrays(5, 0, 0, 195)), 0.05, Pairs(gained=5, lost=0, n=200)).decision == "undecided"
    assert needed(Pairs(gained=5, lost=0, n=200), 0.05) <= 240
    assert rule(estimate_harm(*arrays(6, 0, 0, 234)), 0.05, Pairs(gained=6, lost=0, n=240)).decision == "pass"


def test_more_prompts_do_not_help_past_the_limit() -> None:
    before, after = arrays(8, 1, 0, 71)
    ruling = rule(estimate_harm(before, after), 0.05, paired(before, after))
    assert (ruling.decision, ruling.more) == ("undecided", None)
    assert "unlikely to make it pass" in ruling.advice


def test_hardly_inside_is_more_than_a_million_away() -> None:
    pairs = Pairs(gained=50, lost=0, n=1001)
    assert needed(pairs, 50 / 1001 + 1e-6) is None
    before, after = arrays(50, 0, 0, 951)
    assert "Not even" in rule(estimate_harm(before, after), 50 / 1001 + 1e-6, pairs).advice


def test_gaps_that_alone_prevent_a_decision_are_named() -> None:
    before, after = arrays(0, 0, 0, 80)
    after[:6] = np.nan
    ruling = rule(estimate_harm(before, after), 0.05, paired(before, after))
    assert ruling.decision == "undecided"
    assert "6 verdicts are missing" in ruling.advice
    assert "Without its gaps it would pass" in ruling.advice


@pytest.mark.slow
def test_a_model_at_the_limit_passes_about_once_in_twenty_times() -> None:
    """Every outcome of n pairs with a true difference of 5 points, for several shares of prompts that get better."""
    n, limit = 80, 0.05
    for better in (0.0, 0.02, 0.05):
        worse = limit + better
        passed = 0.0
        for gained in range(12):
            for lost in range(max(0, gained - 4), 14):  # with more that got worse it cannot pass
                before, after = arrays(gained, lost, 0, n - gained - lost)
                if rule(estimate_harm(before, after), limit, paired(before, after)).decision == "pass":
                    ways = math.comb(n, gained) * math.comb(n - gained, lost)
                    passed += ways * worse**gained * better**lost * (1 - worse - better) ** (n - gained - lost)
        assert passed < 0.06


def test_overall() -> None:
    assert overall(["pass", "pass"]) == "pass"
    assert overall(["pass", "undecided"]) == "undecided"
    assert overall(["undecided", "fail", "pass"]) == "fail"
    assert overall([]) == "undecided"
    assert EXIT_CODES == {"pass": 0, "fail": 1, "undecided": 3}


@pytest.mark.parametrize("limit", [-0.1, float("nan"), float("inf")])
def test_a_limit_that_is_none(limit: float) -> None:
    with pytest.raises(StudyError, match=r"^limit must be a number ≥ 0"):
        rule(Estimate(value=0.0, low=0.0, high=0.0), limit)


def test_pairs_of_unequal_length() -> None:
    with pytest.raises(StudyError, match="two rows of equal length"):
        paired(np.zeros(3), np.zeros(4))


def steps(edges: list[float], alphas: np.ndarray, n_prompts: int) -> np.ndarray:
    """Directions whose prompts all succeed from |α| ≥ edge on: shape (directions, alphas, prompts)."""
    return np.stack([np.repeat((np.abs(alphas) >= edge)[:, None], n_prompts, axis=1) for edge in edges]).astype(float)


def test_radius_drop_of_steps() -> None:
    """A step between two points 0.1 apart crosses one half in their middle."""
    alphas = np.round(np.linspace(-1, 1, 21), 10)
    before, after = steps([0.6, 0.7, 0.8], alphas, 10), steps([0.4, 0.4, 0.4], alphas, 10)
    found = estimate_radius_drop(before, after, alphas)
    assert found.value == pytest.approx(0.3)
    # Drops of 0.2, 0.3 and 0.4 over three directions, prompts all alike: a one-sided t interval with two degrees.
    half = 2.9200 * 0.1 / math.sqrt(3)
    assert (found.low, found.high) == (pytest.approx(0.3 - half, abs=1e-4), pytest.approx(0.3 + half, abs=1e-4))
    assert estimate_radius_drop(after, before, alphas).value == pytest.approx(-0.3)
    same = estimate_radius_drop(before, before, alphas)
    assert (same.value, same.n_censored) == (0.0, 0)
    assert rule(same, 0.05).decision != "fail"


def test_radius_drop_counts_what_never_crosses_and_claims_nothing_of_two_directions() -> None:
    alphas = np.round(np.linspace(-1, 1, 21), 10)
    found = estimate_radius_drop(steps([5.0, 5.0], alphas, 4), steps([0.5, 0.5], alphas, 4), alphas)
    assert found.n_censored == 4
    assert found.value == pytest.approx(0.55)
    assert (found.low, found.high) == (None, None)
    assert rule(found, 0.1).decision == "undecided"


@pytest.mark.parametrize(("n_changed", "decision"), [(4, "undecided"), (5, "fail")])
def test_no_radius_fails_on_fewer_than_five_changed_prompts(n_changed: int, decision: str) -> None:
    """80 prompts of which 38 break early: a few more, and the radius falls from the late edge to the early one."""
    alphas = np.round(np.linspace(-0.5, 0.5, 21), 10)
    edges = np.full((3, 80), 0.45)
    edges[:, :38] = 0.1
    later = edges.copy()
    later[:, 38 : 38 + n_changed] = 0.1
    later[1, 38 : 38 + n_changed] = 0.15  # directions differ, so that the jackknife has something to say
    before, after = ((np.abs(alphas)[:, None] >= e[:, None]).astype(float) for e in (edges, later))
    found = estimate_radius_drop(before, after, alphas)
    assert found.value is not None
    assert found.value > 0.2
    assert rule(found, 0.1).decision == decision
    assert ("widened to hold 0, since fewer than 5 prompts changed" in found.method) == (decision == "undecided")


def test_counts_guard_a_failure_where_something_else_would_narrow() -> None:
    few, enough = Pairs(gained=4, lost=0, n=80), Pairs(gained=5, lost=0, n=80)
    worse = Estimate(value=0.05, low=0.02, high=0.1)
    assert rule(worse, 0.01, few, narrower="More labels").decision == "undecided"
    assert rule(worse, 0.01, enough, narrower="More labels").decision == "fail"
    assert rule(worse, 0.06, enough, narrower="More labels").advice == "More labels would narrow the interval."


def test_a_radius_that_falls_all_at_once_at_the_limit_is_no_failure() -> None:
    """38 of 80 prompts succeed everywhere before, 44 after: the radius falls from the range to 0, by chance perhaps."""
    alphas = np.round(np.linspace(-0.5, 0.5, 21), 10)
    before, after = (np.broadcast_to((np.arange(80) < k).astype(float), (20, 21, 80)) for k in (38, 44))
    found = estimate_radius_drop(before, after, alphas)
    assert found.value == pytest.approx(0.5)
    assert rule(found, 0.1).decision == "undecided"
