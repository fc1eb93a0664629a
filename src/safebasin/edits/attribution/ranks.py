"""ActSVD: the output directions of a matrix that matter to a set of rows, by the second moment of its outputs (§3.2).

With U of the singular value decomposition W X = U S Vᵀ, the best approximation of the outputs by rank r is U_r U_rᵀ W
(Eckart and Young). U is found exactly as the eigenvectors of W X Xᵀ Wᵀ, where the published code takes a randomized
approximation; the moments are those of the model as it is, where that code has blocks changed before later ones.
"""

from __future__ import annotations

import torch

from safebasin.errors import ModelError, expected

__all__ = ["leading", "random_leading", "removed"]


def leading(weight: torch.Tensor, gram: torch.Tensor, rank: int) -> torch.Tensor:
    """The leading left singular vectors of W X, (out, rank), float64, orthonormal.

    Args:
        weight: W, (out, in).
        gram: X Xᵀ, (in, in), float64.
        rank: how many, 0 to out.

    Raises:
        ModelError: where the Gram matrix is not finite.
    """
    w = weight.detach().cpu().double()
    outputs = w @ gram @ w.T
    if not bool(torch.isfinite(outputs).all()):
        remedy = "Take a model whose activations are finite on these rows."
        raise ModelError(expected("the Gram matrix of the outputs", "finite", "NaN or infinite", remedy))
    vectors = torch.linalg.eigh((outputs + outputs.T) / 2).eigenvectors  # ascending
    return vectors.flip(1)[:, :rank]


def random_leading(noise: torch.Tensor) -> torch.Tensor:
    """An orthonormal basis of the span of random columns, (out, rank), float64: the control of the same rank."""
    return torch.linalg.qr(noise.double()).Q


def removed(weight: torch.Tensor, safety: torch.Tensor, utility: torch.Tensor) -> torch.Tensor:
    """ΔW = (I − Π_u) Π_s W: what of the outputs lies in the directions of safety and across those of utility.

    Args:
        weight: W, (out, in).
        safety: orthonormal columns, (out, r_s); Π_s = S Sᵀ.
        utility: orthonormal columns, (out, r_u); Π_u = U Uᵀ.

    Returns:
        (out, in), float64; of rank r_s at most. W − ΔW is the model without them.
    """
    inside = safety @ (safety.T @ weight.detach().cpu().double())
    return inside - utility @ (utility.T @ inside)
