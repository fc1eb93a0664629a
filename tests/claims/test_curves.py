"""The numbers behind claims about directions, on tables whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from safebasin.claims.curves import fragility, fragility_overall

ALPHAS = np.linspace(-0.6, 0.6, 9)


def lines(radius: np.ndarray) -> np.ndarray:
    """Succeeds up to |α| = radius; radius of shape (directions, requests)."""
    return (np.abs(ALPHAS)[None, :, None] <= radius[:, None, :]).astype(float)


def drawn(mean: float, seed: int, *, directions: int = 8, requests: int = 80) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 0.1, size=(directions, requests))


def test_retention_of_each_is_taken_over_its_own_requests() -> None:
    """By hand, and of requests that count for neither nothing is taken."""
    control, optimized = lines(drawn(0.4, 0)), lines(drawn(0.25, 1))
    here = (np.arange(80) % 3 == 0, np.arange(80) % 4 == 1)
    found = fragility_overall(control, optimized, ALPHAS, here)
    off = ALPHAS != 0
    kept = [float(held[:, off][..., where].mean()) for held, where in zip((control, optimized), here, strict=True)]
    assert found.value == pytest.approx(kept[1] - kept[0])
    assert found.low is not None
    assert found.high is not None
    assert found.low < kept[1] - kept[0] < found.high < 0
    noise = [np.where(where, held, 1 - held) for held, where in zip((control, optimized), here, strict=True)]
    assert fragility_overall(*noise, ALPHAS, here) == found
    assert "over the 20 requests of the one − over the 27 of the other" in found.method


def test_one_request_is_too_few() -> None:
    one, all_ = np.arange(80) == 3, np.ones(80, dtype=np.bool_)
    assert fragility_overall(lines(drawn(0.4, 0)), lines(drawn(0.3, 1)), ALPHAS, (one, all_)).value is None


def test_where_the_same_requests_count_it_is_the_paired_difference() -> None:
    control, optimized = lines(drawn(0.4, 0)), lines(drawn(0.3, 1))
    everyone = np.ones(80, dtype=np.bool_)
    overall = fragility_overall(control, optimized, ALPHAS, (everyone, everyone))
    paired = fragility(control, optimized, ALPHAS, everyone)
    assert [overall.value, overall.low, overall.high] == pytest.approx([paired.value, paired.low, paired.high])


def test_no_difference_is_missed_once_in_twenty_times() -> None:
    """200 pairs of jailbreaks that are equally fragile, on requests of their own: give or take two standard errors."""
    rng, missed = np.random.default_rng(5), 0
    for seed in range(200):
        shared = 0.05 * rng.normal(size=(8, 1)) + 0.1 * rng.normal(size=(1, 80))
        here = (rng.random(80) < 0.35, rng.random(80) < 0.35)
        pair = [lines(drawn(0.3, 2 * seed + i) + shared) for i in (0, 1)]
        found = fragility_overall(pair[0], pair[1], ALPHAS, here)
        missed += not (found.low or 0.0) <= 0 <= (found.high or 0.0)
    assert missed <= 200 * 0.05 + 2 * (200 * 0.05 * 0.95) ** 0.5
