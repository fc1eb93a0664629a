"""ActSVD against Eckart and Young, and the projections where both subspaces are known."""

from __future__ import annotations

import pytest
import torch

from safebasin.edits.attribution.ranks import leading, random_leading, removed
from safebasin.errors import ModelError

GENERATOR = torch.Generator().manual_seed(0)
W = torch.randn(6, 5, generator=GENERATOR).double()
X = torch.randn(5, 40, generator=GENERATOR).double()


@pytest.mark.parametrize("rank", [0, 1, 3, 5, 6])
def test_the_error_of_a_rank_is_what_the_singular_values_leave(rank: int) -> None:
    """‖W X − U_r U_rᵀ W X‖_F = √(Σ_{i>r} s_i²)."""
    u = leading(W, X @ X.T, rank)
    assert u.shape == (6, rank)
    error = (W @ X - u @ (u.T @ (W @ X))).norm()
    assert float(error) == pytest.approx(float(torch.linalg.svdvals(W @ X)[rank:].square().sum().sqrt()), abs=1e-5)


def test_equal_subspaces_remove_nothing() -> None:
    u = leading(W, X @ X.T, 3)
    assert float(removed(W, u, u).abs().max()) < 1e-12


def test_orthogonal_subspaces_remove_all_of_safety() -> None:
    u = leading(W, X @ X.T, 6)
    safety, utility = u[:, :2], u[:, 2:]
    torch.testing.assert_close(removed(W, safety, utility), safety @ safety.T @ W)


def test_nothing_of_utility_is_touched_and_the_rank_is_bounded() -> None:
    safety, utility = leading(W, X @ X.T, 2), random_leading(torch.randn(6, 3, generator=GENERATOR))
    delta = removed(W, safety, utility)
    assert float((utility.T @ delta).abs().max()) < 1e-12
    assert int(torch.linalg.matrix_rank(delta, rtol=1e-9)) <= 2
    torch.testing.assert_close(utility.T @ utility, torch.eye(3).double())


def test_a_gram_matrix_with_nan_is_refused() -> None:
    with pytest.raises(ModelError, match="Gram matrix of the outputs must be finite"):
        leading(W, torch.full((5, 5), float("nan")).double(), 2)
