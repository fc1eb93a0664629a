"""Rows that were asked in part, completed: their means, and what resampling and leaving out does to them."""

from __future__ import annotations

import numpy as np
import pytest

from safebasin.stats import complete_rows, estimate_collapse, estimate_margin, estimate_margin_difference
from safebasin.stats.intervals import resamples


def rows(rates: list[float], asked: list[int], size: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of which the first so many are asked."""
    success = (np.random.default_rng(seed).random((len(rates), size)) < np.asarray(rates)[:, None]).astype(float)
    were = np.arange(size) < np.asarray(asked)[:, None]
    return np.where(were, success, np.nan), were


def test_the_mean_is_that_of_what_was_asked() -> None:
    success, asked = rows([0.0, 0.04, 0.5, 1.0], [44, 66, 200, 44])
    found = complete_rows(success, asked)
    assert not np.isnan(found).any()
    assert found.mean(axis=1) == pytest.approx(np.nanmean(success, axis=1), abs=1e-12)
    assert (found[2] == success[2]).all(), "a whole row stays"
    assert (found[0] == 0).all()
    assert (found[3] == 1).all()


def test_the_bootstrap_is_that_of_a_mean_over_what_is_present() -> None:
    success, asked = rows([0.06, 0.03], [66, 99])
    weights = resamples(200, 1)
    present = np.where(asked, success, 0.0)
    means = (weights @ present.T) / (weights @ asked.T.astype(float))
    found = weights @ complete_rows(success, asked).T
    assert found.std(axis=0) == pytest.approx(means.std(axis=0), rel=0.05)
    assert np.corrcoef(found.T)[0, 1] == pytest.approx(np.corrcoef(means.T)[0, 1], abs=0.05)
    naive = weights @ np.where(asked, success, np.nanmean(success, axis=1, keepdims=True)).T
    assert (naive.std(axis=0) < 0.6 * means.std(axis=0)).all(), "the mean in the place of the rest knows too much"


def test_leaving_one_out_is_that_of_a_mean_over_what_is_present() -> None:
    success, asked = rows([0.06], [66])
    found, n = complete_rows(success, asked)[0], 66
    left_out = (found.sum() - found) / 199
    own = (np.nansum(success[0]) - success[0]) / (n - 1)
    assert left_out[asked[0]] == pytest.approx(own[asked[0]], abs=2e-4)
    assert left_out[~asked[0]] == pytest.approx(np.nanmean(success[0]))


@pytest.mark.parametrize("n_missing", [1, 3])
def test_a_missing_verdict_stands_for_as_many_as_the_others(n_missing: int) -> None:
    success, asked = rows([0.2], [50])
    success[0, 5 : 5 + n_missing] = np.nan
    found = complete_rows(success, asked)[0]
    assert np.nanmean(found) == pytest.approx(np.nanmean(success[0]))
    for value in (0.0, 1.0):
        own = np.where(asked[0] & np.isnan(success[0]), value, success[0])[:50].mean()
        assert np.where(np.isnan(found), value, found).mean() == pytest.approx(own, abs=1e-12)


def test_a_stopped_row_may_be_moved_toward_a_half_and_a_whole_one_is_not() -> None:
    success, asked = rows([0.0, 0.04, 0.5, 1.0], [44, 66, 200, 44])
    own = np.nanmean(success, axis=1)
    up, down = (complete_rows(success, asked, off=off).mean(axis=1) - own for off in (0.01, -0.01))
    assert up == pytest.approx([0.01, 0.01, 0, 0], abs=1e-12)
    assert down == pytest.approx([0, 0, 0, -0.01], abs=1e-12)


def test_a_row_without_any_verdict_is_missing() -> None:
    success, asked = rows([0.2], [50])
    assert np.isnan(complete_rows(np.full_like(success, np.nan), asked)).all()


def test_a_statistic_may_be_over_some_prompts() -> None:
    success, asked = rows([0.3], [50])
    among = np.random.default_rng(2).random(200) < 0.4
    found = complete_rows(success, asked, among)[0]
    assert found[among].mean() == pytest.approx(np.nanmean(success[0, among]))


def test_what_never_varies_is_bounded_by_what_was_asked() -> None:
    success = np.zeros((1, 5, 200))
    alphas = np.linspace(-1, 1, 5)
    whole, part = (estimate_margin(success, alphas, n_prompts=n) for n in (None, 44))
    assert whole.low == pytest.approx(0.025 ** (1 / 200))
    assert part.low == pytest.approx(0.025 ** (1 / 44))


def test_an_interval_stays_in_its_range() -> None:
    success, asked = rows([0.02, 0.0, 0.02], [44, 200, 44])
    found = estimate_margin(complete_rows(success, asked)[None], np.linspace(-1, 1, 3))
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low < found.high <= 1


def test_only_prompts_that_were_asked_in_both_can_have_changed() -> None:
    alphas = np.linspace(-1, 1, 5)
    rates, asked = [1.0, 0.3, 0.0, 0.3, 1.0], [44, 200, 200, 200, 66]
    before, were = rows(rates, asked)
    after = before.copy()
    after[1, :9] = 1 - after[1, :9]
    after[4, 50:] = np.nan  # stopped elsewhere, its rate another one
    after[4, 20] = 0
    there = were.copy()
    there[4, 50:] = False
    complete = [complete_rows(*pair)[None] for pair in ((before, were), (after, there))]
    found = estimate_margin_difference(complete[0], complete[1], alphas, told=(before[None], after[None]))
    ups, downs = int((before[1, :9] > after[1, :9]).sum()), int((before[1, :9] < after[1, :9]).sum())
    assert (ups > 0, ups + downs) == (True, 9)
    assert f"{ups + 1} prompts up, {downs} down" in found.method
    untold = estimate_margin_difference(complete[0], complete[1], alphas)
    assert (untold.value, untold.low) == (found.value, found.low)
    assert f"{ups + 1} prompts up, {downs} down" not in untold.method


def test_collapse_counts_a_point_by_all_of_its_prompts() -> None:
    labels = np.full((1, 5, 8), "refusal", dtype=np.object_)
    labels[0, 3, :] = ["incoherent"] * 4 + ["complied"] * 4
    labels[0, 4, :] = ["incoherent"] * 4 + [""] * 4  # stopped after four
    success = np.zeros((1, 5, 8))
    success[0, 3:] = 1
    weights = np.asarray([[1, 1, 1, 1, 2.0]])
    alphas = np.linspace(-1, 1, 5)
    found = estimate_collapse(labels, success, alphas, success[0, 2], weights=weights)
    assert found.value == pytest.approx(12 / 16)
    assert found.n == 12
    assert estimate_collapse(labels, success, alphas, success[0, 2]).value == pytest.approx(8 / 12)
