import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from scipy import stats as scipy_stats

from safebasin.errors import StudyError
from safebasin.stats import estimate_margin, estimate_margin_difference, estimate_paired_difference, mcnemar, tango

ALPHAS = np.linspace(-10, 10, 21) / 20


def landscape(center, n_directions=5, n_prompts=40, seed=0):
    rng = np.random.default_rng(seed)
    breaks = (
        center
        + 0.03 * rng.standard_normal((n_directions, 1, 1))
        + 0.05 * rng.standard_normal((1, 1, n_prompts))
        + 0.02 * rng.standard_normal((n_directions, 21, n_prompts))
    )
    return (np.abs(ALPHAS)[None, :, None] >= breaks).astype(float)


@pytest.mark.parametrize(("b", "c"), [(6, 16), (1, 7), (0, 5), (3, 3), (40, 20)])
def test_mcnemar_agrees_with_the_binomial_test(b, c):
    assert mcnemar(b, c) == pytest.approx(scipy_stats.binomtest(b, b + c).pvalue)


def test_mcnemar_gives_the_published_value():
    # Cavo et al. 2012 as in Fagerland, Lydersen and Laake 2017, chapter 8: 6 and 16 discordant pairs.
    assert mcnemar(6, 16) == pytest.approx(0.052479, abs=5e-7)
    assert mcnemar(0, 0) == 1


def test_tango_gives_published_values():
    # The same source: 6 and 16 of 161 pairs.
    found = tango(6, 16, 161)
    assert (found.low, found.high) == (pytest.approx(-0.1240, abs=5e-5), pytest.approx(-0.0054, abs=5e-5))


def profile_score(b, c, n, difference):
    """Tango's score statistic with the nuisance found by a numerical search of the multinomial likelihood."""
    low, high = max(0.0, -difference), (1 - difference) / 2

    def negative(q):
        first, rest = q + difference, 1 - 2 * q - difference
        terms = ((b, first), (c, q), (n - b - c, rest))
        return -sum(k * np.log(max(p, 1e-300)) for k, p in terms if k)

    q = optimize.minimize_scalar(negative, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    return (b - c - n * difference) / np.sqrt(n * (2 * q + difference - difference**2))


@pytest.mark.parametrize(("b", "c", "n"), [(6, 16, 161), (1, 7, 21), (9, 3, 32), (0, 5, 40), (30, 10, 40)])
def test_tango_bounds_are_where_the_profile_score_is_the_quantile(b, c, n):
    found = tango(b, c, n)
    assert profile_score(b, c, n, found.low) == pytest.approx(1.959964, abs=1e-4)
    assert profile_score(b, c, n, found.high) == pytest.approx(-1.959964, abs=1e-4)


@settings(deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 30), st.sampled_from([0.8, 0.95, 0.99]))
def test_tango_holds_the_rate_and_mirrors(b, c, concordant, level):
    n = b + c + concordant
    found, mirrored = tango(b, c, n, level=level), tango(c, b, n, level=level)
    assert -1 <= found.low <= (b - c) / n <= found.high <= 1
    assert (found.low, found.high) == pytest.approx((-mirrored.high, -mirrored.low), abs=1e-9)
    assert found.low < found.high


def test_tango_without_a_changed_pair_is_not_a_point():
    found = tango(0, 0, 80)
    # Closed form: |difference| ≤ z² / (n + z²).
    z2 = 1.959963984540054**2
    assert (found.low, found.high) == (pytest.approx(-z2 / (80 + z2)), pytest.approx(z2 / (80 + z2)))


@pytest.mark.parametrize("counts", [(-1, 0, 3), (2, 2, 3), (0, 0, 0)])
def test_counts_must_fit(counts):
    with pytest.raises(StudyError, match="discordant pairs must be counts"):
        tango(*counts)


def test_paired_difference_is_after_minus_before():
    before = np.array([0.0] * 60 + [1.0] * 20)
    after = np.array([1.0] * 16 + [0.0] * 44 + [0.0] * 6 + [1.0] * 14)
    found = estimate_paired_difference(before, after)
    assert found.value == pytest.approx(10 / 80)
    assert (found.low, found.high) == (tango(16, 6, 80).low, tango(16, 6, 80).high)
    assert "80 prompts (16 gained, 6 lost)" in found.method
    assert "p = 0.052" in found.method


def test_a_missing_verdict_widens_the_paired_interval():
    before = np.array([0.0] * 60 + [1.0] * 20)
    after = np.array([1.0] * 16 + [0.0] * 44 + [0.0] * 6 + [1.0] * 14)
    before[0], after[30] = np.nan, np.nan
    found = estimate_paired_difference(before, after)
    assert (found.n, found.n_missing) == (78, 2)
    assert found.value == pytest.approx((15 - 6) / 78)
    assert found.low == tango(15, 6, 80).low
    assert found.high == tango(17, 6, 80).high
    assert estimate_paired_difference(np.full(3, np.nan), np.zeros(3)).value is None


def test_margin_difference_is_paired_and_narrower_than_its_parts():
    before, after = landscape(0.3), landscape(0.25)
    found = estimate_margin_difference(before, after, ALPHAS)
    assert found.value == pytest.approx(before.mean() - after.mean())
    alone = estimate_margin(before, ALPHAS)
    assert found.high - found.low < (alone.high - alone.low) / 2
    assert found.high < 0
    assert "paired, mean over 5 directions" in found.method


def test_margin_difference_of_a_landscape_with_itself_holds_zero_and_is_no_point():
    before = landscape(0.3)
    found = estimate_margin_difference(before, before, ALPHAS)
    assert found.value == 0
    assert found.low < 0 < found.high


def test_margin_difference_agrees_with_a_paired_t_test_where_prompts_do_not_vary():
    shifts = np.array([0.0, 0.05, 0.1, 0.1])
    before = np.repeat((np.abs(ALPHAS) > 0.301).astype(float)[None, :, None], 4, axis=0).repeat(10, axis=2)
    after = np.stack([np.abs(ALPHAS) > 0.301 - shift for shift in shifts]).astype(float)[:, :, None].repeat(10, axis=2)
    per_direction = before.mean(axis=(1, 2)) - after.mean(axis=(1, 2))
    expected = scipy_stats.ttest_1samp(per_direction, 0).confidence_interval()
    found = estimate_margin_difference(before, after, ALPHAS)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_margin_difference_by_number_of_directions_and_missing():
    one = estimate_margin_difference(landscape(0.3, 1), landscape(0.2, 1), ALPHAS)
    assert one.low < one.value < one.high < 0
    assert "conditional on this direction" in one.method
    assert estimate_margin_difference(landscape(0.3, 2), landscape(0.2, 2), ALPHAS).low is None
    before, after = landscape(0.3), landscape(0.25)
    whole = estimate_margin_difference(before, after, ALPHAS)
    after[:, 5, :9] = np.nan
    holed = estimate_margin_difference(before, after, ALPHAS)
    assert holed.n_missing == 45
    assert holed.low < whole.low
    assert holed.high > whole.high


def test_paired_landscapes_must_match():
    with pytest.raises(StudyError, match="paired landscapes must be of equal shape"):
        estimate_margin_difference(landscape(0.3, 2), landscape(0.3, 3), ALPHAS)
    with pytest.raises(StudyError, match="paired verdicts must be two rows of equal length"):
        estimate_paired_difference(np.zeros(3), np.zeros(4))


def test_few_changed_prompts_never_exclude_zero():
    """Three of four prompts flip at half of the points: a sign test gives 0.25, whatever a bootstrap says."""
    before = np.zeros((1, 21, 4))
    after = before.copy()
    after[0, :10, :3] = 1
    found = estimate_margin_difference(before, after, ALPHAS)
    assert (found.value, found.high) == (pytest.approx(-30 / 84), 0)
    assert found.low < found.value
    assert "0 prompts up, 3 down, sign test p = 0.25; widened to hold 0, since fewer than 6 prompts" in found.method


@pytest.mark.parametrize(("level", "fewest"), [(0.9, 5), (0.95, 6), (1 - 0.05 / 6, 8)])
@pytest.mark.parametrize("directions", [1, 4])
def test_the_fewest_changed_prompts_are_those_that_a_sign_test_needs(level, fewest, directions):
    def low(n_changed):
        before = np.zeros((directions, 21, 40))
        before[:, 12, :n_changed] = before[0, 13, :n_changed] = 1
        return estimate_margin_difference(before, np.zeros_like(before), ALPHAS, level=level).low

    assert scipy_stats.binomtest(fewest, fewest).pvalue <= 1 - level
    assert scipy_stats.binomtest(fewest - 1, fewest - 1).pvalue > 1 - level
    assert low(fewest - 1) <= 0
    if directions == 1:  # of several the degrees of freedom say more than the count
        assert low(fewest) > 0


def test_differences_have_at_most_directions_less_one_degrees_of_freedom():
    """Against the formula written out: the same standard error, Student's t at D − 1."""
    before, after = landscape(0.3), landscape(0.27)
    found = estimate_margin_difference(before, after, ALPHAS)
    looser = estimate_margin_difference(before, after, ALPHAS, level=0.5)
    half = [(e.high - e.low) / 2 for e in (found, looser)]
    n = before.shape[0]
    assert half[0] / half[1] >= scipy_stats.t.ppf(0.975, n - 1) / scipy_stats.t.ppf(0.75, n - 1) - 1e-9
    assert "at most directions - 1" in found.method
