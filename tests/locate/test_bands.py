"""Where a band starts and ends, on curves made by hand, by both rules."""

from __future__ import annotations

import pytest

from safebasin.locate.bands import bands, by_angle, by_cosine
from safebasin.locate.records import Band, Curves
from safebasin.records import Estimate


def made(rise: list[tuple[float, float]], cosine_gap: list[float]) -> Curves:
    """Curves of which a rule reads growth (value, lower bound) and cosine gap."""
    estimates = tuple(Estimate(value=value, low=low, high=value + 1) for value, low in rise)
    return Curves(cosine={}, spread={}, angle_gap=estimates, rise=estimates, cosine_gap=tuple(cosine_gap))


@pytest.mark.parametrize(
    ("rise", "band"),
    [
        ([(0.1, -0.5), (2.0, 1.0), (3.0, 2.0), (0.9, 0.5), (0.2, 0.1), (2.0, 1.0)], Band(1, 3)),  # 0.2 < 10 % of 3
        ([(2.0, 1.0), (0.1, 0.05), (2.0, 1.0)], Band(0, 0)),
        ([(0.0, -1.0), (5.0, -0.1), (4.0, 3.0)], Band(2, 2)),  # not told apart from 0
        ([(0.0, 0.0), (1.0, 0.5)], Band(1, 1)),
        ([(0.0, -1.0), (-3.0, -4.0)], None),
        ([(0.0, 0.0), (0.0, 0.0)], None),
    ],
)
def test_by_angle(rise: list[tuple[float, float]], band: Band | None) -> None:
    assert by_angle(made(rise, [0.0])) == band


@pytest.mark.parametrize(
    ("gap", "band"),
    [
        ([0.0005, 0.002, 0.004, 0.00415, 0.00420, 0.01], Band(1, 3)),  # growth .0005 .0015 .002 .00015 .00005
        ([0.002, 0.002, 0.01], Band(0, 0)),
        ([0.0, 0.0, 0.0011], Band(2, 2)),
        ([0.0005, 0.0010, 0.0015], None),
        ([0.0, -0.1, -0.2], None),
    ],
)
def test_by_cosine(gap: list[float], band: Band | None) -> None:
    assert by_cosine(gap) == band


def test_both_rules_by_name() -> None:
    assert bands(made([(0.0, -1.0), (4.0, 3.0)], [0.002, 0.0])) == {"angle": Band(1, 1), "cosine": Band(0, 0)}
