"""Sides of a line that leads somewhere: which coordinates, which of two is the headline, and what it says of itself."""

from __future__ import annotations

import numpy as np
import pytest

from safebasin import stats
from safebasin.records import Estimate


def test_the_origin_is_on_both_sides():
    alphas = np.array([-0.5, 0.0, 1.0, 1.5])
    assert stats.on_side(alphas, "toward").tolist() == [False, True, True, True]
    assert stats.on_side(alphas, "away").tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("toward", "away", "nearer"),
    [
        (Estimate(value=0.3), Estimate(value=0.2), "away"),
        (Estimate(value=0.3), Estimate(value=0.1, n_censored=1), "toward"),
        (Estimate(value=1.5, n_censored=1), Estimate(value=0.5, n_censored=1), "away"),
        (Estimate(value=None), Estimate(value=0.5, n_censored=1), "away"),
        (Estimate(value=0.0), Estimate(value=0.0), "toward"),
    ],
)
def test_a_crossing_comes_before_the_end_of_a_range(toward, away, nearer):
    found = {"toward": toward, "away": away}
    assert stats.nearer_side(found) == nearer
    headline = stats.side_headline(found, nearer)
    assert headline.value == found[nearer].value
    assert f"{nearer} " in headline.method


def test_headroom_is_the_crossing_less_one_with_an_interval():
    """Half of 100 prompts break at 0.75, all at 1.25: one half is reached at 0.75 exactly, whatever is resampled."""
    alphas = np.array([0.0, 0.5, 0.75, 1.0, 1.25])
    breaks = np.r_[np.full(50, 0.75), np.full(50, 1.25)]
    success = (alphas[:, None] >= breaks).astype(float)
    found = stats.estimate_headroom(success, alphas)
    assert found.value == pytest.approx(-0.25)
    assert found.low <= found.value <= found.high
    # A resample of fewer than half early prompts crosses later, on the way to 1.25; of more, on the way to 0.75.
    share = np.random.default_rng(0).multinomial(100, np.full(100, 0.01), size=2000)[:, :50].sum(axis=1) / 100
    crossing = np.where(share >= 0.5, 0.5 + 0.25 * 0.5 / np.maximum(share, 0.5), 1 + 0.25 * (0.5 - share) / (1 - share))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(crossing - 1, [0.025, 0.975])))


def test_headroom_of_a_line_that_never_crosses_is_a_lower_bound():
    alphas = np.array([-1.0, 0.0, 1.0, 2.0])
    found = stats.estimate_headroom(np.zeros((4, 30)), alphas)
    assert (found.value, found.n_censored, found.high) == (1.0, 1, None)
    late = np.zeros((4, 30))
    late[3] = 1
    assert stats.estimate_headroom(late, alphas).value == pytest.approx(0.5)


def test_the_cell_of_a_crossing_is_between_measured_points():
    alphas = np.array([-1.0, 0.0, 0.5, 1.0, 1.5])
    assert stats.crossed_cell([1.0, 0.0, 0.2, 0.9, 1.0], alphas) == (0.5, 1.0)
    assert stats.crossed_cell([1.0, 0.0, None, 0.9, 1.0], alphas) == (0.0, 1.0)
    assert stats.crossed_cell([1.0, 0.0, 0.2, 0.3, 0.4], alphas) is None
    assert stats.crossed_cell([0.0, 0.7, 0.2, 0.3, 0.4], alphas) is None
