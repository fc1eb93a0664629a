"""Rates and agreement over responses of which many are of one prompt."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from safebasin.errors import StudyError
from safebasin.stats import (
    Accuracy,
    confusion,
    confusions,
    estimate_accuracy,
    estimate_alpha,
    estimate_clustered_rate,
    estimate_corrected_rate,
    estimate_kappa,
    tabulate,
    tabulate_clusters,
    wilson,
)
from safebasin.stats.clusters import cluster_numbers, effective_size, jackknife_clusters

PROMPTS = np.repeat(np.arange(40), 20)


def clustered(share: float = 0.6, icc: float = 0.5, seed: int = 0) -> np.ndarray:
    """800 successes, 20 of each prompt, of a beta-binomial: rate `share`, correlation `icc` within a prompt."""
    rng = np.random.default_rng(seed)
    scale = 1 / icc - 1
    return (rng.random(800) < rng.beta(share * scale, (1 - share) * scale, 40)[PROMPTS]).astype(float)


def test_one_response_a_prompt_is_wilson() -> None:
    success = clustered()[:31]
    found = estimate_clustered_rate(success, list(range(31)))
    exact = wilson(int(success.sum()), 31)
    assert (found.low, found.high) == (exact.low, exact.high)
    assert "clustered" not in found.method


def test_effective_size_is_that_of_the_analysis_of_cluster_totals() -> None:
    """Equal clusters: the variance of the mean of their rates, by hand, and Student's t for the normal quantile."""
    success = clustered()
    rates = success.reshape(40, 20).mean(axis=1)
    worth = rates.mean() * (1 - rates.mean()) / (rates.var(ddof=1) / 40)
    quantiles = scipy_stats.norm.ppf(0.975) / scipy_stats.t.ppf(0.975, 39)
    assert effective_size(success, PROMPTS) == pytest.approx(worth * quantiles**2)
    found = estimate_clustered_rate(success, list(PROMPTS))
    exact = wilson(found.value * worth * quantiles**2, worth * quantiles**2)
    assert (found.low, found.high) == (pytest.approx(exact.low), pytest.approx(exact.high))
    assert found.method.endswith("clustered by prompt (40 prompts)")


def test_responses_that_repeat_count_as_often_as_prompts_do() -> None:
    once = clustered()[::20]
    many = estimate_clustered_rate(np.repeat(once, 20), list(PROMPTS))
    alone = wilson(int(once.sum()), 40)
    assert many.high - many.low == pytest.approx(alone.high - alone.low, rel=0.05)


def test_where_all_are_alike_each_prompt_is_worth_one() -> None:
    found = estimate_clustered_rate(np.ones(800), list(PROMPTS))
    assert (found.value, found.low, found.high) == (1, wilson(40, 40).low, 1)


def test_one_response_that_differs_makes_it_no_surer_than_none() -> None:
    """80 prompts at 17 points: all agree, one does not, and as many that do not as shows how prompts differ."""
    prompts, alike = list(np.repeat(np.arange(80), 17)), np.ones(1360)
    whole = estimate_clustered_rate(alike, prompts)
    alike[0] = 0
    found = estimate_clustered_rate(alike, prompts)
    assert found.low <= whole.low
    none = estimate_clustered_rate(1 - alike, prompts)
    assert (none.low, none.high) == (pytest.approx(1 - found.high), pytest.approx(1 - found.low))
    alone = estimate_clustered_rate(alike, list(range(1360)))
    assert alone.low == pytest.approx(wilson(1359, 1360).low), "independent responses stay as they were"


def test_missing_verdicts_widen_it_and_nothing_scored_has_no_rate() -> None:
    success = clustered()
    success[:30] = np.nan
    found = estimate_clustered_rate(success, list(PROMPTS))
    ends = [estimate_clustered_rate(np.where(np.isnan(success), x, success), list(PROMPTS)) for x in (0.0, 1.0)]
    assert (found.n, found.n_missing) == (770, 30)
    assert (found.low, found.high) == (ends[0].low, ends[1].high)
    assert estimate_clustered_rate(np.full(3, np.nan), [0, 1, 1]).value is None
    with pytest.raises(StudyError, match="clusters must be one for each observation"):
        estimate_clustered_rate(success, [1, 2])


def test_the_jackknife_of_a_mean_of_clusters_is_its_t_interval() -> None:
    values = np.random.default_rng(1).normal(size=12)
    found = jackknife_clusters(values.mean(), (values.sum() - values) / 11, bounds=(-9.0, 9.0))
    expected = scipy_stats.ttest_1samp(values, 0).confidence_interval()
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert jackknife_clusters(1.0, np.array([1.0]), bounds=(-1.0, 1.0)) is None
    assert jackknife_clusters(1.0, np.array([1.0, np.nan]), bounds=(-1.0, 1.0)) is None


def labels(seed: int = 0) -> tuple[list[str], list[str]]:
    first = clustered(seed=seed)
    differs = clustered(0.2, 0.6, seed + 100)
    return (["yn"[int(x)] for x in first], ["yn"[int(x) ^ int(y)] for x, y in zip(first, differs, strict=True)])


def test_kappa_by_prompt_keeps_its_value_and_widens() -> None:
    first, second = labels()
    table = confusion(first, second, labels="yn")
    parts = confusions(first, second, list(PROMPTS), labels="yn")
    assert parts.sum(axis=0) == pytest.approx(table.array())
    pooled, found = estimate_kappa(table), estimate_kappa(table, by_prompt=parts)
    assert found.value == pytest.approx(pooled.value)
    assert found.high - found.low > 1.8 * (pooled.high - pooled.low)
    assert "jackknife over 40 prompts" in found.method


def test_kappa_by_prompt_against_a_bootstrap_of_prompts() -> None:
    first, second = labels()
    parts = confusions(first, second, list(PROMPTS), labels="yn")
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(3000):
        shares = parts[rng.integers(0, 40, 40)].sum(axis=0) / 800
        chance = shares.sum(axis=0) @ shares.sum(axis=1)
        drawn.append((np.trace(shares) - chance) / (1 - chance))
    found = estimate_kappa(confusion(first, second, labels="yn"), by_prompt=parts)
    assert (found.high - found.low) / 2 == pytest.approx(scipy_stats.t.ppf(0.975, 39) * np.std(drawn), rel=0.1)


def test_kappa_of_full_agreement_is_the_least_that_the_bounds_of_both_shares_allow() -> None:
    """Against a search over tables: the share that disagrees, how it is split, and the share of the commoner label."""
    for n_yes, n in ((10, 20), (2, 80), (1, 200)):
        said = "y" * n_yes + "n" * (n - n_yes)
        found = estimate_kappa(confusion(said, said, labels="yn"))
        most_apart = 1 - 0.0125 ** (1 / n)
        commonest = scipy_stats.beta.ppf(1 - 0.0125, n - n_yes + 1, n_yes)
        least = 1.0
        for apart in np.linspace(0.001, 1, 25) * most_apart:
            for split in np.linspace(0, 1, 21):
                for no in np.linspace(0.5, commonest, 11):
                    shares = np.array(
                        [[(1 - apart) * (1 - no), apart * split], [apart * (1 - split), (1 - apart) * no]]
                    )
                    chance = shares.sum(axis=0) @ shares.sum(axis=1)
                    least = min(least, (np.trace(shares) - chance) / (1 - chance))
        assert (found.low, found.high) == (pytest.approx(least, abs=1e-9), 1)
        assert "all agree" in found.method
        alpha = estimate_alpha([said, said])
        assert (alpha.low, alpha.high) == (found.low, 1)


@pytest.mark.parametrize(
    ("both", "apart", "n"), [(0.02, 0.03, 80), (0.05, 0.01, 200), (0.5, 0.02, 80), (0.5, 0.05, 10)]
)
def test_the_bound_of_full_agreement_is_rarely_above_the_truth(both: float, apart: float, n: int) -> None:
    """Exactly: the probability that all pairs agree and that the bound then lies above the true κ."""
    shares = np.array([[both, apart / 2], [apart / 2, 1 - both - apart]])
    chance = shares.sum(axis=0) @ shares.sum(axis=1)
    kappa = (np.trace(shares) - chance) / (1 - chance)
    wrong = 0.0
    for k in range(1, n):
        said = "y" * k + "n" * (n - k)
        if estimate_kappa(confusion(said, said, labels="yn")).low > kappa:
            wrong += (1 - apart) ** n * scipy_stats.binom.pmf(k, n, both / (1 - apart))
    assert wrong <= 0.025


def test_full_agreement_of_prompts_asked_twice_is_worth_the_prompts() -> None:
    said = "yyyyynnnnn"
    twice = "".join(c * 2 for c in said)
    parts = confusions(twice, twice, [i // 2 for i in range(20)], labels="yn")
    found, once = estimate_kappa(confusion(twice, twice, labels="yn"), by_prompt=parts), confusion(said, said)
    assert found.high == 1
    assert 0 < found.low <= estimate_kappa(once).low
    assert "10 prompts alike" in found.method
    alpha = estimate_alpha([twice, twice], clusters=[i // 2 for i in range(20)])
    assert (alpha.low, alpha.high) == (pytest.approx(found.low), 1)


def test_where_no_prompt_makes_a_difference_no_interval_is_claimed() -> None:
    """Six prompts of which each has the same three pairs, one of them apart; and six responses to one prompt."""
    first, second = "ynn" * 6, "yny" * 6
    clusters = [i // 3 for i in range(18)]
    parts = confusions(first, second, clusters, labels="yn")
    kappa = estimate_kappa(confusion(first, second, labels="yn"), by_prompt=parts)
    alpha = estimate_alpha([first, second], clusters=clusters)
    for found in (kappa, alpha):
        assert (found.low, found.high) == (None, None)
        assert "none of 6 prompts makes a difference" in found.method
    alone = estimate_alpha(["yn" * 3, "yn" * 2 + "ny"], clusters=["p"] * 6)
    assert (alone.low, alone.high) == (None, None)
    assert "a single prompt" in alone.method
    agreed = estimate_alpha(["yn" * 3, "yn" * 3], clusters=["p"] * 6)
    assert (agreed.value, agreed.low) == (1, None)


def test_alpha_resamples_prompts() -> None:
    first, second = labels()
    pooled = estimate_alpha([first, second])
    found = estimate_alpha([first, second], clusters=list(PROMPTS))
    assert found.value == pooled.value
    assert found.high - found.low > 1.8 * (pooled.high - pooled.low)
    assert "bootstrap over 40 prompts" in found.method
    alone = estimate_alpha([first, second], clusters=list(range(800)))
    assert (alone.low, alone.high) == (pooled.low, pooled.high)
    with pytest.raises(StudyError, match="clusters must be one for each response"):
        estimate_alpha([first, second], clusters=[1])


def test_a_corrected_rate_of_fewer_worth_is_that_of_as_many_labels() -> None:
    """Responses of which four are worth one give the interval of a quarter as many."""
    many = Accuracy(
        true_positive=80, positive=100, true_negative=180, negative=200, positive_worth=25, negative_worth=50
    )
    few = Accuracy(true_positive=20, positive=25, true_negative=45, negative=50)
    found, expected = estimate_corrected_rate(120, 400, many, worth=100), estimate_corrected_rate(30, 100, few)
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))
    assert "clustered by prompt" in found.method


@pytest.mark.slow
@pytest.mark.parametrize(("share", "icc"), [(0.6, 0.5), (0.9, 0.3), (0.3, 0.8)])
def test_clustered_intervals_cover_where_pooled_ones_do_not(share: float, icc: float) -> None:
    held = pooled = 0
    for seed in range(600):
        success = clustered(share, icc, seed)
        found = estimate_clustered_rate(success, list(PROMPTS))
        held += found.low <= share <= found.high
        alone = estimate_accuracy(confusion([str(x) for x in success], ["1.0"] * 800, labels=("0.0", "1.0")))
        pooled += alone.low <= share <= alone.high
    assert 0.92 <= held / 600 <= 0.985
    assert pooled / 600 < 0.75


def test_numbers_for_names_change_nothing() -> None:
    """Clusters and labels as arrays of numbers, of which a study of millions is made, against their names."""
    draw = np.random.default_rng(5)
    clusters, first, second = draw.permutation(np.repeat(np.arange(3, 33), 7)), *draw.integers(0, 3, (2, 210))
    success, labels = np.where(draw.random(210) < 0.1, np.nan, clustered()[:210]), ("a", "b", "c")
    names = [f"prompt {number}" for number in clusters]
    assert cluster_numbers(clusters, 210).tolist() == cluster_numbers(names, 210).tolist()
    assert cluster_numbers(clusters[:0], 0).tolist() == []
    for others in (clusters - 20, clusters + 10**15, np.asarray(names)):  # whatever an array holds
        assert cluster_numbers(others, 210).tolist() == cluster_numbers(names, 210).tolist()
    assert estimate_clustered_rate(success, clusters) == estimate_clustered_rate(success, names)
    truth, said = ([labels[number] for number in side] for side in (first, second))
    assert tabulate(first, second, labels=labels) == confusion(truth, said, labels=labels)
    by_number = tabulate_clusters(first, second, clusters, n_labels=3)
    assert np.array_equal(by_number, confusions(truth, said, names, labels=labels))
    for at, name in enumerate(dict.fromkeys(names)):
        own = [pair for pair, of in zip(zip(truth, said, strict=True), names, strict=True) if of == name]
        assert by_number[at].tolist() == [[own.count((a, b)) for b in labels] for a in labels]
