"""Holm's procedure: which hypotheses fall, and adjusted p-values by hand."""

from __future__ import annotations

import pytest

from safebasin.stats.multiple import holm


@pytest.mark.parametrize(
    ("ps", "fallen"),
    [
        ([0.01, 0.04, 0.03], [True, False, False]),  # 0.03 > 0.05 / 2 ends it, though 0.04 < 0.05
        ([0.01, 0.05, 0.02], [True, True, True]),
        ([0.02, 0.02, 0.02], [False, False, False]),
        ([], []),
    ],
)
def test_holm_steps_down(ps: list[float], fallen: list[bool]) -> None:
    assert [p <= 0.05 for p in holm(ps)] == fallen


def test_adjusted_values_by_hand() -> None:
    # 4 · 0.01, 3 · 0.02 and 2 · 0.03 rise; none is above 1.
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
