"""Sums of θ₀ and moves, element by element, without a temporary of their size: what limits a point is then memory.

A block is summed in pieces that stay in a processor's cache. The operations and their order are those of
θ₀ + Σ αᵢ·d̂ᵢ written out (a product, a sum, never fused), so that a piece has the bits of the whole on any device.
On CUDA this is what is left where no kernel sums (`accelerated`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

__all__ = ["summed"]

_PIECE = 2**18
"""Elements that one thread of a CPU sums at a time: 1 MB in float32."""
_PIECE_ON_DEVICE = 2**22
"""The same of an accelerator, whose caches are larger."""


def summed(rows: torch.Tensor, moves: Sequence[tuple[float, torch.Tensor]], out: torch.Tensor) -> torch.Tensor:
    """Write rows + Σ α·move into `out`, and return it.

    In float32, or in float64 where rows or a move are; then there is one cast.

    Args:
        rows: of θ₀.
        moves: α and rows of d̂, one pair at least, all on the device of `rows`.
        out: contiguous, of the shape of `rows`; may be of another dtype.
    """
    is_wide = rows.dtype == torch.float64 or any(move.dtype == torch.float64 for _, move in moves)
    wide = torch.float64 if is_wide else torch.float32
    theta, into = rows.reshape(-1), out.view(-1)
    flat = [(alpha, move.reshape(-1)) for alpha, move in moves]
    n = theta.numel()
    step = _PIECE * torch.get_num_threads() if rows.device.type == "cpu" else _PIECE_ON_DEVICE
    one, other = (torch.empty(min(step, n), dtype=wide, device=rows.device) for _ in range(2))
    for low in range(0, n, step):
        high = min(low + step, n)
        target = into[low:high]
        total = theta[low:high]
        if total.dtype != wide:
            total = other[: high - low].copy_(total)
        for i, (alpha, move) in enumerate(flat):
            product = (one, other)[i % 2][: high - low]
            if move.dtype == wide:
                torch.mul(move[low:high], alpha, out=product)
            else:
                product.copy_(move[low:high]).mul_(alpha)
            is_last = i == len(flat) - 1
            total = torch.add(product, total, out=target if is_last and target.dtype == wide else product)
        if target.dtype != wide:
            target.copy_(total)
    return out
