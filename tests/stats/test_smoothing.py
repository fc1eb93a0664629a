"""Certificates against closed forms: Clopper–Pearson by its equation, radii and bounds by the normal distribution."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from safebasin.errors import StudyError
from safebasin.stats.smoothing import (
    certified_radius,
    certify,
    clopper_pearson_low,
    smoothed_at,
    smoothed_share_at,
)


@pytest.mark.parametrize(("k", "n"), [(1, 1), (44, 44), (18, 20), (3, 7), (1, 50), (199, 200)])
@pytest.mark.parametrize("level", [0.95, 0.99])
def test_the_bound_solves_its_equation(k: int, n: int, level: float) -> None:
    """At the bound, k or more of n successes have probability 1 − level."""
    p = clopper_pearson_low(k, n, level=level)
    tail = math.fsum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))
    assert tail == pytest.approx(1 - level, rel=1e-9)


def test_bounds_where_all_or_none_succeed() -> None:
    assert clopper_pearson_low(20, 20) == pytest.approx(0.05 ** (1 / 20))
    assert clopper_pearson_low(0, 20) == 0
    # 99 % confidence that more than 90 % of directions are flat takes 44 of 44
    assert clopper_pearson_low(44, 44, level=0.99) > 0.9 > clopper_pearson_low(43, 43, level=0.99)


def test_published_numbers() -> None:
    """p = .9 and .99 at σ = .01; at a distance of half of it the strong and the weak bound."""
    assert certified_radius(0.9, 0.01) == pytest.approx(0.0128155, abs=5e-8)
    assert certified_radius(0.99, 0.01) == pytest.approx(0.0232635, abs=5e-8)
    assert smoothed_at(0.9, 0.005, 0.01) == pytest.approx(0.782761, abs=5e-7)
    assert smoothed_share_at(0.9, 0.005, 0.01) == pytest.approx(0.700529, abs=5e-7)


def test_at_the_radius_the_bound_is_the_floor() -> None:
    for floor in (0.3, 0.5, 0.8):
        assert smoothed_at(0.9, certified_radius(0.9, 0.02, floor=floor), 0.02) == pytest.approx(floor)
    assert certified_radius(0.5, 0.02) == certified_radius(0.4, 0.02) == 0
    assert smoothed_share_at(0.1, 1.0, 0.01) == 0
    assert (smoothed_at(0, 1, 1), smoothed_at(1, 1, 1)) == (0, 1)


def test_the_bound_holds_where_the_truth_is_known() -> None:
    """f is 1 where a weight is below t: then the share after a shift is the bound."""
    sigma, t, normal = 0.5, 0.4, NormalDist()
    p = normal.cdf(t / sigma)
    for shift in (0.1, 0.4, 1.0):
        along, away = normal.cdf((t - shift) / sigma), normal.cdf((t + shift) / sigma)
        assert smoothed_at(p, shift, sigma) == pytest.approx(along)
        assert smoothed_at(p, shift, sigma) <= away
        assert smoothed_share_at(p, shift, sigma) <= along


def test_a_certificate_by_hand() -> None:
    """20 draws, 10 prompts of which 9 are refused at the origin; two draws lose three, one prompt often falls."""
    origin = np.array([1.0] * 9 + [0.0])
    refused = np.tile(origin, (20, 1))
    refused[:2, :3] = 0
    refused[:15, 8] = 0
    found = certify(origin, refused, 0.01)
    assert (found.n_draws, found.n_prompts, found.kept) == (20, 10, 18)
    assert found.at_origin == 0.9
    assert found.refused == pytest.approx((180 - 6 - 15) / 200)
    p = clopper_pearson_low(18, 20)
    assert found.p_low == p
    assert found.radius == pytest.approx(0.01 * NormalDist().inv_cdf(p))
    assert found.prompts == 8, "all but the one that 15 of 20 draws lose"
    assert found.median_radius == pytest.approx(0.01 * NormalDist().inv_cdf(clopper_pearson_low(20, 20)))
    assert certify(origin, refused, 0.01, tolerance=0).kept == 5
    unscored = np.where(refused == 0, np.nan, refused)
    assert certify(origin, unscored, 0.01) == found, "what is not scored is not refused"


def test_what_is_missing_at_the_origin_never_enlarges_a_certificate() -> None:
    """Each draw keeps 80 of 100 refusals, too few: whichever verdicts of the origin are missing, it stays so."""
    origin, refused = np.ones(100), np.ones((40, 100))
    refused[:, :20] = 0
    complete = certify(origin, refused, 0.01)
    assert (complete.kept, complete.radius) == (0, 0)
    for gone in (slice(75, None), slice(0, 25)):
        gaps = origin.copy()
        gaps[gone] = np.nan
        found = certify(gaps, refused, 0.01)
        assert (found.kept, found.radius) == (0, 0)
        assert found.prompts <= complete.prompts
        assert found.at_origin == 0.75, "the share that is shown is of what was seen to be refused"


@pytest.mark.parametrize(
    ("origin", "refused", "given", "words"),
    [
        ([0, 0], [[0, 0]], {}, "at least one"),
        ([1, 1], [[1]], {}, "shape"),
        ([1, 1], [], {}, "shape"),
        ([1], [[1]], {"sigma": 0}, "above 0"),
        ([1], [[1]], {"sigma": math.inf}, "above 0"),
        ([1], [[1]], {"tolerance": 1}, "below 1"),
        ([1], [[1]], {"level": 1}, "between 0 and 1"),
    ],
)
def test_what_certifies_nothing(origin: list[int], refused: list[list[int]], given: dict, words: str) -> None:
    with pytest.raises(StudyError, match=words):
        certify(np.array(origin, dtype=float), np.array(refused, dtype=float), **{"sigma": 0.01, **given})
    with pytest.raises(StudyError):
        clopper_pearson_low(3, 2)
    with pytest.raises(StudyError):
        certified_radius(0.9, 0.1, floor=1)
