"""Which budgets are asked: closed forms on planted curves, and the whole grid as the independent answer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from safebasin.stats import estimate_budget
from safebasin.trial.search import Sought, sought

STEPS = np.array([0.0, 1, 2, 4, 8, 16])
SHARES = np.array([0.0, 0.25, 0.5, 0.75, 1])


def grown(breaks: Sequence[int], size: int = 6) -> np.ndarray:
    """Success from the place on at which each prompt falls, and ever after; shape (size, prompts)."""
    return (np.arange(size)[:, None] >= np.asarray(breaks)[None, :]).astype(float)


def asked(success: np.ndarray, amounts: np.ndarray) -> tuple[Sought, list[tuple[int, ...]]]:
    rounds: list[tuple[int, ...]] = []

    def ask(places: Sequence[int]) -> np.ndarray:
        rounds.append(tuple(places))
        return success[..., list(places), :]

    return sought(ask, amounts), rounds


@pytest.mark.parametrize(
    ("breaks", "places"),
    [
        (1, (0, 1, 3)),  # 4 steps break it, 1 does
        (2, (0, 1, 2, 3)),  # 4 do, 1 does not, 2 do
        (3, (0, 1, 2, 3)),
        (4, (0, 2, 3, 4)),  # 4 do not, 8 do; 2 was passed over and is looked at
        (5, (0, 2, 3, 4, 5)),
        (9, (0, 2, 3, 4, 5)),  # none does
    ],
)
def test_a_clear_crossing_takes_its_bisection_and_one_budget_below(breaks: int, places: tuple[int, ...]) -> None:
    found, rounds = asked(grown([breaks] * 40), STEPS)
    assert found.places == places
    assert not found.falls
    assert rounds[0] == (0, 3)
    assert all(set(first) < set(second) for first, second in pairwise(rounds))


def test_what_is_broken_before_is_asked_once_more() -> None:
    assert asked(grown([0] * 20 + [5] * 20), STEPS)[0].places == (0, 3)


def test_an_interval_that_reaches_further_asks_for_more() -> None:
    clear, _ = asked(grown([1] * 40), STEPS)
    vague, _ = asked(grown([1] * 22 + [2] * 9 + [4] * 9), STEPS)  # 55 % at the first
    assert (clear.places, vague.places) == ((0, 1, 3), (0, 1, 2, 3))


def test_where_success_falls_again_every_budget_is_asked() -> None:
    success = grown([5] * 40)
    success[2] = 1  # an island at 2 steps: 4 and 8 do not break it, 16 do
    found, rounds = asked(success, STEPS)
    assert rounds[:3] == [(0, 3), (0, 3, 4), (0, 3, 4, 5)]
    assert (found.places, found.falls) == (tuple(range(6)), True)
    whole = estimate_budget(success, STEPS)
    assert estimate_budget(found.success, STEPS) == whole
    assert whole.value == 1.5

    success = grown([4] * 40)
    success[1] = 1  # one that the look below does not meet stays unseen, as the documentation says
    assert asked(success, STEPS)[0].places == (0, 2, 3, 4)


@pytest.mark.slow
@pytest.mark.parametrize("amounts", [STEPS, SHARES, np.array([0.0, 1])])
@pytest.mark.parametrize("n_seeds", [1, 3])
def test_value_and_interval_are_those_of_the_whole_grid(amounts: np.ndarray, n_seeds: int) -> None:
    rng = np.random.default_rng(7)
    saved = 0
    for _ in range(25):
        centers = rng.uniform(0, amounts.size + 0.5) + rng.normal(0, 0.4, n_seeds)
        breaks = np.clip(np.round(rng.normal(centers[:, None], rng.choice([0.1, 0.6, 1.5]), (n_seeds, 40))), 1, None)
        success = np.stack([grown(row.astype(int).tolist(), amounts.size) for row in breaks])
        success = success[0] if n_seeds == 1 else success
        found, _ = asked(success, amounts)
        tried = amounts[list(found.places)]
        whole = estimate_budget(success, amounts)
        part = estimate_budget(found.success, tried, most=float(amounts[-1]))
        assert (part.value, part.low, part.high, part.n_censored) == pytest.approx(
            (whole.value, whole.low, whole.high, whole.n_censored)
        )
        assert part.n == found.success.size
        saved += amounts.size - tried.size
    assert saved > 0 or amounts.size == 2


def test_missing_verdicts_ask_until_both_fillings_are_known() -> None:
    success = grown([2] * 40)
    success[2:, :18] = np.nan  # with all of them failures 22 of 40 are left, and some resamples never reach one half
    found, _ = asked(success, STEPS)
    assert found.places == tuple(range(6))
    whole = estimate_budget(success, STEPS)
    part = estimate_budget(found.success, STEPS, most=16.0)
    assert (part.low, part.high, part.n_missing) == (whole.low, whole.high, whole.n_missing)
