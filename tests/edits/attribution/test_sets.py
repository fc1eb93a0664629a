"""Sets of weights against sets worked out by hand; the overlap; the control."""

from __future__ import annotations

import pytest
import torch

from safebasin.edits.attribution.sets import Compare, count, drawn, jaccard, only_first, top

SAFETY = torch.tensor([[9.0, 1.0, 8.0, 2.0], [1.0, 2.0, 3.0, 4.0], [7.0, 7.0, 0.0, 6.0]])
UTILITY = torch.tensor([[9.0, 2.0, 1.0, 8.0], [4.0, 3.0, 2.0, 1.0], [0.0, 1.0, 7.0, 6.0]])


def places(mask: torch.Tensor) -> set[tuple[int, int]]:
    return {(i, j) for i, j in mask.nonzero().tolist()}


def test_the_two_ways_to_compare_give_different_sets() -> None:
    """Half of 3 × 4: two of each row, or the six largest of all. By hand."""
    by_rows = only_first(top(SAFETY, 0.5, "rows"), top(UTILITY, 0.5, "rows"))
    assert places(top(SAFETY, 0.5, "rows")) == {(0, 0), (0, 2), (1, 2), (1, 3), (2, 0), (2, 1)}
    assert places(top(UTILITY, 0.5, "rows")) == {(0, 0), (0, 3), (1, 0), (1, 1), (2, 2), (2, 3)}
    assert places(by_rows) == {(0, 2), (1, 2), (1, 3), (2, 0), (2, 1)}
    by_matrix = only_first(top(SAFETY, 0.5, "matrix"), top(UTILITY, 0.5, "matrix"))
    assert places(top(SAFETY, 0.5, "matrix")) == {(0, 0), (0, 2), (2, 0), (2, 1), (2, 3), (1, 3)}
    assert places(top(UTILITY, 0.5, "matrix")) == {(0, 0), (0, 3), (2, 2), (2, 3), (1, 0), (1, 1)}
    assert places(by_matrix) == {(0, 2), (2, 0), (2, 1), (1, 3)}


def test_jaccard_by_hand() -> None:
    """One of eleven in both by rows, two of ten by matrix."""
    assert jaccard(top(SAFETY, 0.5, "rows"), top(UTILITY, 0.5, "rows")) == pytest.approx(1 / 11)
    assert jaccard(top(SAFETY, 0.5, "matrix"), top(UTILITY, 0.5, "matrix")) == pytest.approx(2 / 10)
    empty = torch.zeros(2, 2, dtype=torch.bool)
    assert jaccard(empty, empty) is None


def test_ties_fall_to_the_first_place_and_the_number_is_exact() -> None:
    same = torch.ones(2, 4)
    assert places(top(same, 0.5, "rows")) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert places(top(same, 0.5, "matrix")) == {(0, 0), (0, 1), (0, 2), (0, 3)}


@pytest.mark.parametrize(("share", "size", "n"), [(0.29, 100, 29), (0.05, 128, 6), (0.0, 9, 0), (1.0, 9, 9)])
def test_a_share_is_rounded_down_but_not_by_a_float(share: float, size: int, n: int) -> None:
    assert count(share, size) == n


@pytest.mark.parametrize("compare", ["rows", "matrix"])
def test_the_control_has_as_many_of_each_row_or_matrix_and_is_another_set(compare: Compare) -> None:
    chosen = torch.zeros(40, 50, dtype=torch.bool)
    chosen[:, :3] = True
    chosen[7] = False
    control = drawn(chosen, compare, seed=0, name="w")
    assert int(control.sum()) == int(chosen.sum()) == 117
    if compare == "rows":
        assert torch.equal(control.sum(1), chosen.sum(1))
    assert torch.equal(control, drawn(chosen, compare, seed=0, name="w"))
    assert not torch.equal(control, drawn(chosen, compare, seed=1, name="w"))
    assert not torch.equal(control, drawn(chosen, compare, seed=0, name="v"))
    found = jaccard(control, chosen)
    assert found is not None
    assert found < 0.15  # two random sets of 6 % share about 3 % of what either holds
