"""Rows that are kept: within a budget, handed over, never dropped for others."""

from __future__ import annotations

import torch

from safebasin.weights.kept import KeptRows


def test_the_first_rows_stay_and_what_does_not_fit_is_not_kept() -> None:
    kept, rows = KeptRows(2 * 40), [torch.full((10,), float(i)) for i in range(3)]
    for i, one in enumerate(rows):
        kept.put(i, one)
    assert [kept.get(i) is one for i, one in enumerate(rows)] == [True, True, False]


def test_what_is_taken_makes_room() -> None:
    kept, rows = KeptRows(40), torch.zeros(10)
    kept.put("a", rows)
    kept.put("a", torch.ones(10))
    assert kept.take("a") is rows
    assert kept.take("a") is None
    kept.put("b", rows)
    assert kept.get("b") is rows


def test_a_budget_of_nothing_keeps_nothing() -> None:
    kept = KeptRows(0)
    kept.put("a", torch.zeros(1))
    assert kept.get("a") is None
