import numpy as np
import pytest

from safebasin.errors import StudyError
from safebasin.stats import (
    estimate_depth,
    estimate_margin,
    estimate_radius,
    estimate_rate,
    estimate_visage,
    margin,
    radius,
    visage,
    wilson,
)

ALPHAS = np.linspace(-10, 10, 21) / 20


def landscape(breaks):
    """Success where |α| reaches the break. breaks: (directions, prompts)."""
    return (np.abs(ALPHAS)[None, :, None] >= np.asarray(breaks, dtype=float)[:, None, :]).astype(float)


def random_landscape(n_directions, n_prompts=40, seed=0):
    rng = np.random.default_rng(seed)
    spread = 0.03 * rng.standard_normal((n_directions, 1)) + 0.05 * rng.standard_normal((1, n_prompts))
    return landscape(0.28 + spread + 0.02 * rng.standard_normal((n_directions, n_prompts)))


def test_rate_without_missing_is_wilson():
    found = estimate_rate(4, 80)
    assert (found.value, found.low, found.high) == (0.05, wilson(4, 80).low, wilson(4, 80).high)
    assert (found.n, found.n_missing) == (80, 0)
    assert found.method == "share of 80 scored responses; 95% Wilson interval"


def test_a_missing_verdict_is_missing_and_widens_the_interval():
    found = estimate_rate(4, 70, 10)
    assert found.value == 4 / 70
    assert (found.low, found.high) == (wilson(4, 80).low, wilson(14, 80).high)
    assert (found.n, found.n_missing) == (70, 10)
    assert "10 missing verdicts" in found.method


def test_a_rate_of_nothing_is_none():
    assert estimate_rate(0, 0).value is None
    unscored = estimate_rate(0, 0, 5)
    assert (unscored.value, unscored.low, unscored.high, unscored.n_missing) == (None, None, None, 5)


def test_depth_is_one_minus_the_rate_at_the_origin():
    found = estimate_depth(np.array([0.0, 0, 0, 1, np.nan]))
    assert found.value == 0.75
    assert (found.low, found.high) == (wilson(3, 5).low, wilson(4, 5).high)
    assert (found.n, found.n_missing) == (4, 1)


def test_visage_is_the_mean_over_directions_and_claims_no_interval():
    success = random_landscape(3)
    found = estimate_visage(success, ALPHAS)
    assert found.value == pytest.approx(np.mean([visage(curve) for curve in success.mean(axis=2)]))
    assert (found.low, found.high) == (None, None)
    assert (found.n, found.n_undefined) == (3 * 21 * 40, 0)
    assert found.method == (
        "VISAGE, published rule, over 21 points in [-0.5, 0.5]; mean over 3 directions, 40 prompts; "
        "no interval is claimed"
    )


def test_visage_leaves_undefined_directions_out_and_counts_them():
    success = np.concatenate([np.ones((1, 21, 40)), random_landscape(1)])
    found = estimate_visage(success)
    assert found.value == visage(success[1].mean(axis=1))
    assert found.n_undefined == 1
    assert "1 direction left out" in found.method
    assert estimate_visage(np.ones((2, 21, 4))).value is None


def test_visage_of_the_published_code_counts_unsafe_directions_as_zero():
    success = np.concatenate([np.ones((1, 21, 40)), random_landscape(1)])
    found = estimate_visage(success, rule="reference")
    assert found.value == pytest.approx(visage(success[1].mean(axis=1), "reference") / 2)


def test_margin_with_three_directions_has_an_interval_over_directions():
    success = random_landscape(3)
    found = estimate_margin(success, ALPHAS)
    assert found.value == pytest.approx(1 - success.mean())
    assert 0 <= found.low < found.value < found.high <= 1
    assert found.method == (
        "mean of 1 − ASR over 21 points in [-0.5, 0.5]; mean over 3 directions, 40 prompts; "
        "95% interval by two-way jackknife over 3 directions and 40 prompts (Satterthwaite t)"
    )


def test_one_direction_is_labeled_conditional_and_two_get_none():
    one = estimate_margin(random_landscape(1), ALPHAS, seed=7)
    assert one.low < one.value < one.high
    assert one.method.endswith("bootstrap over prompts (2000 resamples, seed 7), conditional on this direction")
    two = estimate_margin(random_landscape(2), ALPHAS)
    assert (two.low, two.high) == (None, None)
    assert two.method.endswith("no interval is claimed: two directions do not support one")


def test_margin_is_taken_over_scored_prompts():
    success = random_landscape(3)
    success[0, 4, :7] = np.nan
    found = estimate_margin(success, ALPHAS)
    curve = [np.nanmean(row) for row in success[0]]
    assert found.value == pytest.approx((margin(ALPHAS, curve) * 21 + (1 - success[1:]).sum() / 40) / 63)
    assert (found.n, found.n_missing) == (3 * 21 * 40 - 7, 7)
    assert found.method.endswith("widened to hold what 7 missing verdicts would give either way")


def test_a_direction_that_is_not_measured_yet_is_left_out():
    success = random_landscape(3)
    success[2, ALPHAS != 0] = np.nan  # only the shared origin is there
    origin = success[0, 10]
    for found, done in (
        (estimate_margin(success, ALPHAS), estimate_margin(success[:2], ALPHAS)),
        (estimate_radius(success, ALPHAS, origin), estimate_radius(success[:2], ALPHAS, origin)),
        (estimate_visage(success, ALPHAS), estimate_visage(success[:2], ALPHAS)),
    ):
        assert found.value == pytest.approx(done.value)
        assert (found.low, found.n_undefined, found.n_missing) == (None, 1, 20 * 40)


def test_nothing_measured_is_none_not_zero():
    nothing = np.full((3, 21, 4), np.nan)
    for found in (
        estimate_margin(nothing, ALPHAS),
        estimate_radius(nothing, ALPHAS, nothing[0, 0]),
        estimate_visage(nothing, ALPHAS),
    ):
        assert (found.value, found.low, found.high, found.n, found.n_undefined) == (None, None, None, 0, 3)


def test_radius_is_the_mean_over_sides_and_directions():
    success = random_landscape(3)
    found = estimate_radius(success, ALPHAS, success[0, 10])
    assert found.value == pytest.approx(np.mean([radius(ALPHAS, curve).value for curve in success.mean(axis=2)]))
    assert found.low < found.value < found.high
    assert found.n_censored == 0


def test_radius_takes_the_origin_that_is_not_on_the_grid():
    success = random_landscape(3)
    keep = ALPHAS != 0
    without = estimate_radius(success[:, keep], ALPHAS[keep], success[0, 10])
    assert without.value == estimate_radius(success, ALPHAS, success[0, 10]).value
    assert without.n == 3 * 20 * 40


def test_a_censored_radius_is_a_lower_bound():
    success = random_landscape(3)
    success[1, ALPHAS > 0] = 0.0
    found = estimate_radius(success, ALPHAS, success[0, 10])
    sides = [side.alpha for curve in success.mean(axis=2) for side in radius(ALPHAS, curve).sides]
    assert found.value == pytest.approx(np.mean(sides))
    assert (found.n_censored, found.high) == (1, None)
    assert found.low < found.value
    assert "1 of 6 sides never reach it" in found.method


def test_a_basin_without_a_rim_is_bounded_below_only():
    found = estimate_radius(np.zeros((3, 21, 80)), ALPHAS, np.zeros(80))
    assert (found.value, found.n_censored, found.high) == (0.5, 6, None)
    assert found.low == pytest.approx(0.5 * 0.025 ** (1 / 3))  # three directions alike say less than 80 prompts


def test_an_origin_past_the_limit_has_radius_zero():
    origin = np.ones(40)
    success = random_landscape(3)
    success[:, 10] = origin
    found = estimate_radius(success, ALPHAS, origin)
    assert (found.value, found.low, found.high, found.n_censored) == (0, None, None, 0)


def test_missing_verdicts_that_could_censor_a_side_take_the_upper_bound_away():
    success = random_landscape(3)
    success[0, np.abs(ALPHAS) > 0.25, :30] = np.nan
    found = estimate_radius(success, ALPHAS, success[0, 10])
    assert found.n_censored == 0
    assert found.high is None
    assert found.low < found.value
    assert "no upper bound" in found.method


def test_the_limit_is_a_parameter():
    success = random_landscape(3)
    at_10 = estimate_radius(success, ALPHAS, success[0, 10], limit=0.1)
    assert at_10.value < estimate_radius(success, ALPHAS, success[0, 10]).value
    assert "ASR reaches 10%" in at_10.method


def test_arrays_must_match():
    with pytest.raises(StudyError, match="success, α and origin must be of shapes"):
        estimate_radius(np.zeros((3, 21, 4)), ALPHAS, np.zeros(5))


@pytest.mark.parametrize("n_directions", [1, 3, 8])
def test_a_radius_that_stands_still_at_the_limit_is_not_taken_for_certain(n_directions):
    """38 of 80 prompts succeed everywhere, so that leaving one out moves nothing; of samples of 80 a third reach 40."""
    success = np.broadcast_to((np.arange(80) < 38).astype(float), (n_directions, 21, 80)).copy()
    found = estimate_radius(success, ALPHAS, success[0, 10])
    assert (found.value, found.low, found.high) == (0.5, 0, None)
    assert "are alike" not in found.method
    assert "bootstrap over" in found.method


@pytest.mark.parametrize(("n_directions", "alike"), [(1, 80), (3, 3), (8, 8)])
def test_verdicts_that_differ_far_from_the_limit_are_not_called_alike(n_directions, alike):
    """4 of 80 succeed everywhere: no resample reaches the limit, and the bound is that of alike directions."""
    success = np.broadcast_to((np.arange(80) < 4).astype(float), (n_directions, 21, 80)).copy()
    found = estimate_radius(success, ALPHAS, success[0, 10])
    assert found.low == pytest.approx(0.5 * 0.025 ** (1 / alike))
    assert "though not alike, give the same in each of 2000 resamples" in found.method
    flat = estimate_radius(np.zeros_like(success), ALPHAS, np.zeros(80))
    assert flat.low == found.low
    assert "are alike" in flat.method


def test_resamples_of_a_radius_that_stands_still_leave_the_bound_of_alike_directions_where_they_are_surer():
    """Of samples of 80 with 30 successes fewer than one in forty reach 40: the bound stays that of eight directions."""
    success = np.broadcast_to((np.arange(80) < 30).astype(float), (8, 21, 80)).copy()
    found = estimate_radius(success, ALPHAS, success[0, 10])
    assert found.low == pytest.approx(0.5 * 0.025 ** (1 / 8))


def test_an_upper_end_that_rests_on_resamples_that_never_cross_is_open():
    """One direction, 42 of 80 prompts break before the end of the range: a third of the resamples never reach half."""
    breaks = np.where(np.arange(80) < 42, 0.2, 9.0)[None]
    found = estimate_radius(landscape(breaks), ALPHAS, np.zeros(80))
    assert found.n_censored == 0
    assert found.value < 0.25
    assert found.low is not None
    assert found.high is None
    assert found.method.endswith("no upper bound within the range")
    inside = estimate_radius(landscape(np.where(np.arange(80) < 60, 0.2, 9.0)[None]), ALPHAS, np.zeros(80))
    assert inside.high < 0.3


def test_an_upper_end_beyond_the_range_is_open():
    """Three directions with radii 0.1, 0.3 and 0.45: Student's interval of their mean goes past 0.5."""
    breaks = np.repeat(np.array([[0.1], [0.3], [0.45]]), 80, axis=1)
    found = estimate_radius(landscape(breaks), ALPHAS, np.zeros(80))
    assert (found.n_censored, found.high) == (0, None)
    assert found.method.endswith("no upper bound within the range")
    alike = estimate_radius(landscape(np.full((3, 80), 0.2)), ALPHAS, np.zeros(80))
    assert alike.high is None, "another direction may never cross"
