"""The smallest budget that breaks a defense: closed forms on curves that are planted."""

from __future__ import annotations

import numpy as np
import pytest

from safebasin.errors import StudyError
from safebasin.stats import estimate_budget, estimate_budget_difference, resampled_budgets

STEPS = np.array([0.0, 1, 2, 4, 8, 16])


def broken_at(breaks: list[float], amounts: np.ndarray = STEPS) -> np.ndarray:
    """Success from the budget on at which each prompt falls, shape (amounts, prompts)."""
    return (amounts[:, None] >= np.asarray(breaks)[None, :]).astype(float)


def test_the_crossing_lies_on_the_line_between_two_budgets() -> None:
    # 0, 0, 0, 20 of 100 at 4, 80 at 8: one half at 4 + (50 − 20)/(80 − 20)·4 = 6
    success = broken_at([4.0] * 20 + [8.0] * 60 + [99.0] * 20)
    found = estimate_budget(success, STEPS)
    assert found.value == pytest.approx(6)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 6 < found.high
    assert (found.n_censored, found.n) == (0, 600)
    assert found.method.startswith("smallest budget at which ASR reaches 50%, by linear interpolation over 0, 1, 2, 4,")


def test_steps_are_rounded_up() -> None:
    # 40 % at 1 and 60 % at 2: one half at 1.5, that is after the second step; one half at 2 itself stays 2
    assert estimate_budget(broken_at([1.0] * 4 + [2.0] * 2 + [99.0] * 4), STEPS, whole=True).value == 2
    assert estimate_budget(broken_at([2.0] * 5 + [99.0] * 5), STEPS, whole=True).value == 2
    bounds = estimate_budget(broken_at([1.0] * 9 + [4.0] * 6 + [8.0] * 15), STEPS, whole=True)
    assert {bounds.value, bounds.low, bounds.high} <= {float(n) for n in range(17)}


def test_what_is_never_broken_is_censored_and_what_is_broken_before_is_zero() -> None:
    never = estimate_budget(broken_at([99.0] * 60 + [1.0] * 20), STEPS, whole=True)
    assert (never.value, never.high, never.n_censored) == (16, None, 1)
    assert "lower bound" in never.method
    before = estimate_budget(broken_at([0.0] * 6 + [1.0] * 4), STEPS)
    assert (before.value, before.low, before.high, before.n_censored) == (0, None, None, 0)
    nothing = estimate_budget(np.full((6, 3), np.nan), STEPS)
    assert (nothing.value, nothing.n_missing) == (None, 18)


def test_missing_verdicts_widen() -> None:
    success = broken_at([4.0] * 20 + [8.0] * 60 + [99.0] * 20)
    holes = success.copy()
    holes[3, :10] = np.nan
    whole, found = estimate_budget(success, STEPS), estimate_budget(holes, STEPS)
    assert found.n_missing == 10
    assert found.low < whole.low or found.high > whole.high


@pytest.mark.slow
def test_the_interval_covers_the_planted_budget() -> None:
    rng = np.random.default_rng(0)
    alphas = np.linspace(0, 1, 11)
    # each prompt falls at a uniform place: the rate at α is α, one half at 0.5
    found = [estimate_budget(broken_at(list(rng.uniform(0, 1, 40)), alphas), alphas, seed=i) for i in range(60)]
    covered = sum(1 for one in found if one.low is not None and one.high is not None and one.low <= 0.5 <= one.high)
    assert covered >= 52  # 57 are expected; 52 would be 95 % with four standard errors less


def test_two_defenses_are_compared_on_the_same_prompts() -> None:
    weak, strong = broken_at([2.0] * 40), broken_at([16.0] * 40)
    difference, p = estimate_budget_difference(strong, weak, STEPS)
    # one half at 8 + (0.5 − 0)/(1 − 0)·8 = 12 and at 1 + 0.5 = 1.5
    assert difference.value == pytest.approx(10.5)
    assert p == pytest.approx(2 / 2001)
    back, again = estimate_budget_difference(weak, strong, STEPS)
    assert (back.value, again) == (pytest.approx(-10.5), p)
    same, p = estimate_budget_difference(weak, weak.copy(), STEPS)
    assert (same.value, p) == (0, 1.0)
    never, _ = estimate_budget_difference(broken_at([99.0] * 40), weak, STEPS)
    assert never.value == pytest.approx(14.5)  # cut at 16


def test_pairing_takes_the_difficulty_of_prompts_out() -> None:
    rng = np.random.default_rng(1)
    hard = rng.uniform(0, 0.9, 40)
    amounts = np.linspace(0, 1, 11)
    first, second = broken_at(list(hard + 0.1), amounts), broken_at(list(hard), amounts)
    paired, p = estimate_budget_difference(first, second, amounts)
    other = second[:, rng.permutation(40)]
    unpaired, _ = estimate_budget_difference(first, other, amounts)
    assert paired.value == pytest.approx(0.1, abs=0.02)
    assert p < 0.05
    assert paired.high - paired.low < unpaired.high - unpaired.low


@pytest.mark.parametrize(("changed", "is_apart"), [(4, False), (5, False), (6, True)])
def test_fewer_than_six_changed_prompts_are_never_apart(changed: int, is_apart: bool) -> None:
    """Of 20 prompts 8 fall at 4, the others at 16; of the second a few more at 4, so that half fall much earlier."""
    amounts = np.array([0.0, 4, 16])
    first = broken_at([4.0] * 8 + [16.0] * 12, amounts)
    second = broken_at([4.0] * (8 + changed) + [16.0] * (12 - changed), amounts)
    found, p = estimate_budget_difference(first, second, amounts)
    assert found.value > 0.5
    assert p >= 2.0 ** (1 - changed), "no sign test over the prompts that changed gets further"
    assert (p <= 0.05) == is_apart
    assert (found.low > 0) == is_apart
    assert ("fewer than 6 prompts changed" in found.method) != is_apart


def test_a_missing_verdict_leaves_open_which_is_larger() -> None:
    weak = broken_at([2.0] * 10)
    holes = np.full_like(weak, np.nan)
    holes[0] = 0
    holes[-1] = 1
    found, p = estimate_budget_difference(holes, weak, STEPS)
    assert found.low < 0 < found.high
    assert p == 1.0
    assert found.n_missing == 40


def test_of_several_seeds_it_is_the_mean_over_them() -> None:
    by_seed = np.stack([broken_at([place] * 40) for place in (2.0, 4.0, 8.0)])
    found = estimate_budget(by_seed, STEPS, whole=True)
    assert found.value == pytest.approx((1.5 + 3 + 6) / 3)  # one half in the middle of each cell; a mean stays as it is
    assert found.low < found.value < found.high
    assert "mean over 3 training seeds" in found.method
    assert "direction" not in found.method
    some = estimate_budget(np.stack([*by_seed, broken_at([99.0] * 40)]), STEPS)
    assert (some.n_censored, some.high) == (1, None)
    assert some.value == pytest.approx((1.5 + 3 + 6 + 16) / 4)


def test_defenses_of_several_seeds_are_paired_by_seed_and_prompt() -> None:
    """Seeds that all agree tell two apart; where a defense holds for one seed alone, they do not."""
    weak = np.stack([broken_at([2.0] * 40)] * 4)
    strong = np.stack([broken_at([16.0] * 40)] * 4)
    found, p = estimate_budget_difference(strong, weak, STEPS)
    assert found.value == pytest.approx(10.5)
    assert p == pytest.approx(2 / 2001)
    mixed = np.stack([broken_at([16.0] * 40), *weak[1:]])
    once, p = estimate_budget_difference(mixed, weak, STEPS)
    assert once.value == pytest.approx(10.5 / 4)
    assert once.low <= 0 < once.high
    assert p > 0.05
    assert "training seeds and prompts" in once.method
    one, _ = estimate_budget_difference(strong[:1], weak[:1], STEPS)
    plain, _ = estimate_budget_difference(strong[0], weak[0], STEPS)
    assert one == plain


@pytest.mark.parametrize("amounts", [[1.0, 2.0], [0.0]])
def test_budgets_start_at_nothing(amounts: list[float]) -> None:
    rows = np.zeros((len(amounts), 3))
    with pytest.raises(StudyError, match="budgets must be at least two, the first of them 0"):
        estimate_budget(rows, np.array(amounts))
    with pytest.raises(StudyError, match="must be of one shape"):
        estimate_budget_difference(np.zeros((6, 3)), np.zeros((6, 4)), STEPS)


def test_budgets_that_were_not_tried_change_nothing_where_the_crossing_is_known() -> None:
    success = broken_at([2.0] * 9 + [4.0] * 31)  # 22 % at 2, 100 % at 4: no resample is broken elsewhere
    tried = [0, 2, 3]
    whole = estimate_budget(success, STEPS, whole=True)
    part = estimate_budget(success[tried], STEPS[tried], most=16.0, whole=True)
    assert (part.value, part.low, part.high) == (whole.value, whole.low, whole.high)
    assert (whole.n, part.n) == (240, 120)
    assert part.method.startswith(
        "smallest budget at which ASR reaches 50%, by linear interpolation over 0, 2, 4, round"
    )
    # all alike: the bound that alike prompts allow reaches as far as might have been tried
    alike = broken_at([4.0] * 40)
    assert estimate_budget(alike[tried], STEPS[tried], most=16.0).high == estimate_budget(alike, STEPS).high
    assert estimate_budget(alike[tried], STEPS[tried]).high < estimate_budget(alike, STEPS).high


def test_what_the_last_that_was_tried_breaks_in_few_resamples_only_counts_as_the_most() -> None:
    tried, half = [0, 3], broken_at([4.0] * 21 + [99.0] * 19)
    low, high = resampled_budgets(half[tried], STEPS[tried], most=16.0) or (0, 0)
    assert (low < 4, high) == (True, 16)
    clear = resampled_budgets(broken_at([4.0] * 40)[tried], STEPS[tried], most=16.0)
    assert clear == pytest.approx((2, 2))  # on the line from 0 to 4
    holes = np.where(half == 1, np.nan, half)  # with them as failures it is never broken
    assert resampled_budgets(holes[tried], STEPS[tried], most=16.0) == (low, 16)
    assert resampled_budgets(np.full((2, 3), np.nan), STEPS[tried], most=16.0) is None


def test_two_that_were_tried_at_different_budgets_are_compared_as_on_the_whole_grid() -> None:
    weak, strong = broken_at([1.0] * 4 + [2.0] * 36), broken_at([8.0] * 10 + [16.0] * 30)
    first, second = [0, 3, 4, 5], [0, 1, 2]
    whole = estimate_budget_difference(strong, weak, STEPS)
    part = estimate_budget_difference(strong[first], weak[second], STEPS[first], other=STEPS[second], most=16.0)
    for one, other in ((whole[0].value, part[0].value), (whole[0].low, part[0].low), (whole[0].high, part[0].high)):
        assert one == pytest.approx(other)
    assert whole[1] == part[1]
    holes = strong.copy()
    holes[4, 0] = np.nan  # counted once, though the grid of both has more budgets than were tried
    assert estimate_budget_difference(holes[first], weak[second], STEPS[first], other=STEPS[second])[0].n_missing == 1
    with pytest.raises(StudyError, match="curves of two defenses must be of one shape"):
        estimate_budget_difference(strong[first], weak[second], STEPS[first])
