"""Estimates over planes: closed forms, censoring, and an interval that covers."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from safebasin import stats

ALPHAS = np.linspace(-1, 1, 21)
X, Y = np.meshgrid(ALPHAS, ALPHAS, indexing="ij")


def plane(radius: float, prompts: int = 10, planes: int = 1) -> np.ndarray:
    """Every prompt fails inside the disk and succeeds outside."""
    outside = (np.hypot(X, Y) > radius).astype(float)
    return np.broadcast_to(outside[None, :, :, None], (planes, 21, 21, prompts)).copy()


def test_the_radius_of_a_disk() -> None:
    found = stats.estimate_radius(plane(0.5), (ALPHAS, ALPHAS), np.zeros(10))
    inside = int((np.hypot(X, Y) <= 0.5).sum())
    assert found.value == pytest.approx(math.sqrt(inside * 0.01 / math.pi))
    assert found.value == pytest.approx(0.5, abs=0.03)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high, "ten prompts that all say the same do not make it certain"


def test_a_basin_that_touches_the_border_is_a_lower_bound() -> None:
    found = stats.estimate_radius(plane(3.0), (ALPHAS, ALPHAS), np.zeros(10))
    assert found.n_censored == 1
    assert found.high is None
    assert "lower bound" in found.method


def test_an_origin_past_the_limit_has_no_radius() -> None:
    found = stats.estimate_radius(plane(0.5), (ALPHAS, ALPHAS), np.ones(10))
    assert (found.value, found.low) == (0, None)


def test_a_grid_without_the_origin_has_no_radius() -> None:
    found = stats.estimate_radius(plane(0.5)[:, 11:], (ALPHAS[11:], ALPHAS), np.zeros(10))
    assert found.value is None


@pytest.mark.slow
def test_an_island_that_is_not_connected_does_not_count() -> None:
    success = plane(0.5)
    success[:, 0, 0] = 0
    found = stats.estimate_radius(success, (ALPHAS, ALPHAS), np.zeros(10))
    assert found.value == stats.estimate_radius(plane(0.5), (ALPHAS, ALPHAS), np.zeros(10)).value
    assert found.n_censored == 0


def test_margin_and_visage_of_a_disk() -> None:
    success = plane(0.5)
    share = float((np.hypot(X, Y) <= 0.5).mean())
    assert stats.estimate_margin(success, (ALPHAS, ALPHAS)).value == pytest.approx(share)
    assert stats.estimate_visage(success, (ALPHAS, ALPHAS)).value == 1, "only points below 100 % are averaged"
    everywhere = np.ones_like(success)
    assert stats.estimate_visage(everywhere, (ALPHAS, ALPHAS)).value is None


def test_three_planes_have_an_interval_over_planes_and_two_have_none() -> None:
    rng = np.random.default_rng(0)
    noisy = np.stack([plane(r)[0] for r in (0.4, 0.5, 0.6)])
    noisy = np.where(rng.random(noisy.shape) < 0.05, 1 - noisy, noisy)
    three = stats.estimate_margin(noisy, (ALPHAS, ALPHAS))
    two = stats.estimate_margin(noisy[:2], (ALPHAS, ALPHAS))
    assert three.low is not None
    assert three.value is not None
    assert three.high is not None
    assert three.low < three.value < three.high
    assert two.low is None


@pytest.mark.slow
def test_planes_that_are_not_measured_yet_are_left_out() -> None:
    """A study that was killed after its first plane knows the shared origin of all three."""
    success = plane(0.5, planes=3)
    success[1:] = np.nan
    success[1:, 10, 10] = 0
    alone = plane(0.5)
    for found, expected in (
        (stats.estimate_margin(success, (ALPHAS, ALPHAS)), stats.estimate_margin(alone, (ALPHAS, ALPHAS))),
        (
            stats.estimate_radius(success, (ALPHAS, ALPHAS), np.zeros(10)),
            stats.estimate_radius(alone, (ALPHAS, ALPHAS), np.zeros(10)),
        ),
    ):
        assert (found.value, found.low, found.high) == (expected.value, expected.low, expected.high)
        assert found.n_undefined == 2
    assert stats.estimate_visage(success, (ALPHAS, ALPHAS)).n_undefined == 2


def test_missing_verdicts_that_could_carry_a_basin_to_the_border_leave_no_upper_bound() -> None:
    success = plane(0.5)
    success[0, 10] = np.nan  # a row of the grid through the origin
    found = stats.estimate_radius(success, (ALPHAS, ALPHAS), np.zeros(10))
    assert found.n_censored == 0
    assert found.low is not None
    assert found.high is None
    assert "missing verdict" in found.method


def test_a_bootstrap_over_prompts_floods_two_thousand_planes_in_time() -> None:
    rng = np.random.default_rng(0)
    success = (np.hypot(X, Y)[None, :, :, None] + 0.1 * rng.standard_normal((1, 21, 21, 40)) > 0.6).astype(float)
    start = time.process_time()
    found = stats.estimate_radius(success, (ALPHAS, ALPHAS), np.zeros(40))
    assert time.process_time() - start < 1
    assert found.low is not None
    assert found.value is not None
    assert found.high is not None
    assert found.low < found.value < found.high


def test_missing_verdicts_widen() -> None:
    success = plane(0.5)
    success[0, :, :, 0] = np.nan
    found = stats.estimate_margin(success, (ALPHAS, ALPHAS))
    assert found.n_missing == 21 * 21
    assert found.low is not None
    assert found.high is not None
    assert found.low <= 0.9 * float((np.hypot(X, Y) <= 0.5).mean()) + 1e-9
    assert found.high > found.low
