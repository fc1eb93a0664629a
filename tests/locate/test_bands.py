"""Where a band starts and ends, on curves made by hand, by both rules."""

from __future__ import annotations

import pytest

from safebasin.locate.bands import bands, by_angle, by_cosine
from safebasin.locate.records import Band, Curves
from safebasin.records import Estimate


def made(rise: list[tuple[float, float]], cosine_gap: list[float]) -> Curves:
    """Curves of which a rule reads growth (value, lower bound) and cosine gap; the contrast grows in layer 0 alone."""
    contrast = (Estimate(value=1.0, low=0.5, high=2.0), *(Estimate(value=0.0, low=-1.0, high=1.0) for _ in rise[1:]))
    return Curves(
        cosine={}, spread={}, angle_gap=growth(rise), rise=growth(rise), cosine_gap=tuple(cosine_gap),
        contrast=contrast, contrast_rise=contrast,
    )  # fmt: skip


def growth(rise: list[tuple[float, float]]) -> tuple[Estimate, ...]:
    return tuple(Estimate(value=value, low=low, high=value + 1) for value, low in rise)


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
    assert by_angle(growth(rise)) == band


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


def test_the_paper_s_rule_is_believed_first() -> None:
    found = bands(made([(0.0, -1.0), (4.0, 3.0)], [0.002, 0.0]))
    assert list(found.items()) == [("angle", Band(1, 1)), ("contrast", Band(0, 0)), ("cosine", Band(0, 0))]


def test_where_the_angle_gap_tells_topics_the_contrast_is() -> None:
    curves = made([(0.0, -1.0), (-4.0, -5.0)], [0.002, 0.0])
    assert curves.tells_topics == 1  # −4 and its upper bound −3; 0 is told from nothing
    assert next(iter(bands(curves).items())) == ("contrast", Band(0, 0))
