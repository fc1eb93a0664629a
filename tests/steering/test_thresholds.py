"""A threshold between two samples: closed forms."""

from __future__ import annotations

import math

import pytest

from safebasin.steering.thresholds import balanced_accuracy, best_threshold


@pytest.mark.parametrize(
    ("harmful", "benign", "wanted"),
    [
        ([0.8, 0.9], [0.2, 0.4], 0.6),  # halfway across the gap
        ([0.5, 0.9], [0.2, 0.6], 0.35),  # 3 of 4 either way: the lowest, which takes most for harmful
        ([0.3], [0.3], 0.3),  # nothing to tell: all are harmful
        ([0.8, math.nan], [0.2, math.inf], 0.5),
        ([math.nan], [0.2], 0.0),
    ],
)
def test_the_threshold_of_the_largest_balanced_accuracy(
    harmful: list[float], benign: list[float], wanted: float
) -> None:
    assert best_threshold(harmful, benign) == pytest.approx(wanted)


def test_scores_on_the_wrong_side_end_above_all_or_below() -> None:
    threshold = best_threshold([0.1, 0.2], [0.8, 0.9])
    assert balanced_accuracy([0.1, 0.2], [0.8, 0.9], threshold) == 0.5


def test_a_score_at_the_threshold_is_harmful() -> None:
    assert [balanced_accuracy([s], [0.0], 0.75) for s in (0.749999, 0.75, 0.750001)] == [0.5, 1.0, 1.0]
