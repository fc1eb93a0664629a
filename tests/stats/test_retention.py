"""Retention: closed forms, and that only what shows at the origin counts."""

from __future__ import annotations

import numpy as np
import pytest

from safebasin import stats
from safebasin.errors import StudyError

ALPHAS = np.linspace(-0.6, 0.6, 7)


def held(reach: float, pairs: int = 12, directions: int = 3) -> np.ndarray:
    """1 where |α| ≤ reach."""
    return np.broadcast_to((np.abs(ALPHAS) <= reach + 1e-9)[None, :, None], (directions, 7, pairs)).astype(float)


def test_the_difference_is_in_the_share_of_perturbed_points() -> None:
    found = stats.estimate_retention_difference(held(0.4), held(0.2), ALPHAS, np.ones(12, dtype=bool))
    assert found.value == pytest.approx(2 / 6 - 4 / 6)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high


def test_pairs_that_do_not_show_both_outcomes_are_left_out() -> None:
    after = held(0.2).copy()
    after[..., :4] = 0
    kept = np.arange(12) >= 4
    found = stats.estimate_retention_difference(held(0.4), after, ALPHAS, kept)
    assert found.value == pytest.approx(2 / 6 - 4 / 6)
    assert "8 of 12 pairs" in found.method


@pytest.mark.parametrize(("directions", "has_interval"), [(1, True), (2, False), (3, True)])
def test_the_difference_is_that_of_the_two_retentions(directions: int, has_interval: bool) -> None:
    rng = np.random.default_rng(1)
    before, after = ((rng.random((directions, 7, 30)) < p).astype(float) for p in (0.8, 0.5))
    kept = np.arange(30) < 25
    difference = stats.estimate_retention_difference(before, after, ALPHAS, kept)
    parts = [x[:, ALPHAS != 0][..., kept].mean() for x in (before, after)]
    assert difference.value == pytest.approx(parts[1] - parts[0])
    assert (difference.low is not None) == has_interval


def test_a_missing_verdict_is_not_an_outcome_that_was_lost() -> None:
    one = held(0.6).copy()
    one[:, 0, 0] = np.nan
    found = stats.estimate_retention_difference(held(0.6), one, ALPHAS, np.ones(12, dtype=bool))
    assert found.value == 0
    assert found.n_missing == 3
    assert found.low is not None
    assert found.low < -1 / 72


def test_outcomes_must_fit_their_points_and_prompts() -> None:
    with pytest.raises(StudyError, match="outcomes must be of shape"):
        stats.estimate_retention_difference(held(0.4), held(0.2), ALPHAS, np.ones(5, dtype=bool))


def test_too_few_pairs_give_nothing() -> None:
    found = stats.estimate_retention_difference(held(0.4), held(0.2), ALPHAS, np.arange(12) < 1)
    assert found.value is None
    assert "too few" in found.method


def test_noise_has_an_interval_that_holds_the_truth() -> None:
    rng = np.random.default_rng(0)
    shape = (5, 7, 60)
    before, after = (rng.random(shape) < p for p in (0.8, 0.6))
    found = stats.estimate_retention_difference(before.astype(float), after.astype(float), ALPHAS, np.ones(60, bool))
    assert found.low is not None
    assert found.high is not None
    assert found.low < -0.2 < found.high
    assert found.high < 0
