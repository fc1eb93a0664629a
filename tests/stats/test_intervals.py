import numpy as np
import pytest
from scipy import stats as scipy_stats

from safebasin.errors import StudyError
from safebasin.stats import bootstrap_prompts, interval, jackknife, wilson
from safebasin.stats.intervals import jackknife_means, leave_one_out
from safebasin.stats.landscape import margins, reaches

ALPHAS = np.linspace(-10, 10, 21) / 20


def margin_of(curves):
    return margins(ALPHAS, curves)


def landscape(n_directions=3, n_prompts=40, seed=0, center=0.3):
    rng = np.random.default_rng(seed)
    breaks = (
        center
        + 0.03 * rng.standard_normal((n_directions, 1, 1))
        + 0.06 * rng.standard_normal((1, 1, n_prompts))
        + 0.03 * rng.standard_normal((n_directions, 21, n_prompts))
    )
    return (np.abs(ALPHAS)[None, :, None] >= breaks).astype(float)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
@pytest.mark.parametrize(("k", "n"), [(0, 80), (1, 80), (40, 80), (80, 80), (3, 7), (0, 1), (81, 263)])
def test_wilson_agrees_with_scipy(k, n, level):
    expected = scipy_stats.binomtest(k, n).proportion_ci(confidence_level=level, method="wilson")
    found = wilson(k, n, level=level)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_gives_published_values():
    # Newcombe 1998, Statistics in Medicine 17(8): score method without continuity correction.
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (k, n), bounds in published.items():
        found = wilson(k, n)
        assert (found.low, found.high) == pytest.approx(bounds, abs=5e-5)


def test_wilson_holds_zero_and_one_exactly():
    assert wilson(0, 80).low == 0
    assert wilson(80, 80).high == 1


@pytest.mark.parametrize(("k", "n"), [(-1, 3), (4, 3), (0, 0)])
def test_wilson_refuses_what_is_no_count(k, n):
    with pytest.raises(StudyError, match="count must be between 0 and n ≥ 1"):
        wilson(k, n)


def test_levels_are_fractions():
    with pytest.raises(StudyError, match="level of an interval must be between 0 and 1; got 95"):
        wilson(1, 2, level=95)


def test_bootstrap_agrees_with_scipy():
    success = landscape(1)[0]
    found = bootstrap_prompts(success, margin_of)
    per_prompt = 1 - success.mean(axis=0)
    expected = scipy_stats.bootstrap(
        (per_prompt,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.004)


def test_bootstrap_is_a_function_of_its_seed():
    success = landscape(1)[0]
    assert bootstrap_prompts(success, margin_of, seed=1) == bootstrap_prompts(success, margin_of, seed=1)
    assert bootstrap_prompts(success, margin_of, seed=1) != bootstrap_prompts(success, margin_of, seed=2)


def test_jackknife_of_a_mean_is_the_two_way_analysis_of_variance():
    """For a plain mean over a complete table, SE² is the unbiased estimator from the mean squares."""
    success = landscape(5, 30)
    x = 1 - success.mean(axis=1)
    n, m = x.shape
    rows, columns = x.mean(axis=1), x.mean(axis=0)
    residual = x - rows[:, None] - columns + x.mean()
    mean_squares = (
        m * np.var(rows, ddof=1),
        n * np.var(columns, ddof=1),
        np.square(residual).sum() / ((n - 1) * (m - 1)),
    )
    a, b, c = (ms / (n * m) for ms in mean_squares)
    df = (a + b - c) ** 2 / (a**2 / (n - 1) + b**2 / (m - 1) + c**2 / ((n - 1) * (m - 1)))
    half = scipy_stats.t.ppf(0.975, df) * (a + b - c) ** 0.5
    found = interval(success, margin_of)
    assert (found.low, found.high) == pytest.approx((x.mean() - half, x.mean() + half), abs=1e-10)


def test_jackknife_of_a_curve_agrees_with_leaving_out_by_hand():
    def radius_of(curves):
        return reaches(ALPHAS, curves)[0].mean(axis=-1)

    success = landscape(4, 12)
    directions, prompts = range(4), range(12)

    def statistic(kept_directions, kept_prompts):
        return radius_of(success[np.ix_(kept_directions, range(21), kept_prompts)].mean(axis=2)).mean()

    def but(values, out):
        return [v for v in values if v != out]

    by_hand = jackknife(
        full=statistic(directions, prompts),
        no_direction=np.array([statistic(but(directions, d), prompts) for d in directions]),
        no_prompt=np.array([statistic(directions, but(prompts, p)) for p in prompts]),
        no_both=np.array([[statistic(but(directions, d), but(prompts, p)) for p in prompts] for d in directions]),
        bounds=(0.0, 0.5),
    )
    found = interval(success, radius_of, bounds=(0.0, 0.5))
    assert (found.low, found.high) == pytest.approx((by_hand.low, by_hand.high), abs=1e-9)


def test_two_directions_or_a_single_prompt_get_no_interval():
    assert interval(landscape(2), margin_of) is None
    assert interval(landscape(3, 1), margin_of) is None
    assert interval(landscape(1, 1), margin_of) is None


def test_an_interval_is_clipped_to_its_range():
    # Directions so far apart that mean ± t·SE leaves the range.
    success = np.concatenate([landscape(1, center=0.05), landscape(1, center=0.3), landscape(1, center=0.7)])
    found = interval(success, margin_of)
    assert (found.low, found.high) == (0, 1)


@pytest.mark.parametrize(
    ("n_directions", "n_prompts", "alike"), [(1, 80, 80), (3, 80, 3), (8, 80, 8), (8, 5, 5), (3, 3, 3)]
)
def test_where_nothing_varies_the_fewer_of_directions_and_prompts_bound_it(n_directions, n_prompts, alike):
    found = interval(np.zeros((n_directions, 21, n_prompts)), margin_of)
    # n of n alike: the exact bound on the share, as Clopper and Pearson have it.
    expected = scipy_stats.binomtest(alike, alike).proportion_ci(method="exact").low
    assert (found.low, found.high, found.n_alike) == (pytest.approx(expected), 1, alike)


def test_what_varies_at_all_is_no_bound_of_alike_ones():
    success = np.zeros((3, 21, 80))
    success[0, 0, 0] = 1
    assert interval(success, margin_of).n_alike == 0


def test_degrees_of_freedom_can_be_capped():
    """Directions alike, prompts not: Satterthwaite gives many degrees of freedom, and the cap takes them away."""
    success = landscape(3, 200)[:1].repeat(3, axis=0)
    per_direction, without = leave_one_out(success, margin_of)
    free = jackknife_means(per_direction, without, bounds=(-9.0, 9.0))
    capped = jackknife_means(per_direction, without, bounds=(-9.0, 9.0), most_df=2)
    quantiles = scipy_stats.t.ppf(0.975, 2) / scipy_stats.t.ppf(0.975, 199)
    assert capped.high - capped.low == pytest.approx((free.high - free.low) * quantiles)


def test_missing_verdicts_widen_to_both_imputations():
    success = landscape(3)
    holes = success.copy()
    holes[:, 3:6, :5] = np.nan
    found = interval(holes, margin_of)
    zeros, ones = (interval(np.where(np.isnan(holes), value, holes), margin_of) for value in (0.0, 1.0))
    assert found.low == ones.low
    assert found.high == zeros.high
    assert found.low < interval(success, margin_of).low
