"""Sets of weights by score: the top share, what is in one set and not in another, how far two overlap, random ones.

Within a matrix, either in each output row (`rows`, as in the paper) or over the whole matrix (`matrix`, as in the
published code); the two choose different weights.
"""

from __future__ import annotations

from typing import Literal

import torch

from safebasin.weights.noise import elements

__all__ = ["Compare", "count", "drawn", "jaccard", "only_first", "top"]

Compare = Literal["rows", "matrix"]


def count(share: float, size: int) -> int:
    """Count the weights of a share, rounded down."""
    return int(share * size + 1e-9)  # 0.29 · 100 is 28.999… in floats


def top(values: torch.Tensor, share: float, compare: Compare) -> torch.Tensor:
    """The share of the weights with the highest scores, exactly as many in each row or matrix; ties by place.

    Args:
        values: scores, (out, in).
        share: from 0 to 1.
        compare: within what.

    Returns:
        (out, in), bool.
    """
    flat = values if compare == "rows" else values.reshape(1, -1)
    order = flat.sort(dim=1, descending=True, stable=True).indices
    chosen = torch.zeros_like(flat, dtype=torch.bool)
    chosen.scatter_(1, order[:, : count(share, flat.shape[1])], True)
    return chosen.reshape(values.shape)


def only_first(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Keep what is in the first set and not in the second: S(p, q) of the paper for its top q % and top p %."""
    return first & ~second


def jaccard(one: torch.Tensor, other: torch.Tensor) -> float | None:
    """|A ∩ B| / |A ∪ B|; None where both are empty. Of two random sets that hold a share q each, about q / (2 − q)."""
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else None


def drawn(chosen: torch.Tensor, compare: Compare, *, seed: int, name: str) -> torch.Tensor:
    """As many weights as are chosen in each row or matrix, drawn from all of it: the control of the same size.

    Args:
        chosen: (out, in), bool.
        compare: within what.
        seed: of the draw.
        name: of the matrix; each has a draw of its own.
    """
    size = chosen.numel()
    noise = torch.from_numpy(elements(seed, 0, name, 0, size, version=1))
    flat = chosen if compare == "rows" else chosen.reshape(1, -1)
    rank = noise.reshape(flat.shape).sort(dim=1, descending=True, stable=True).indices.argsort(dim=1)
    return (rank.to(chosen.device) < flat.sum(dim=1, keepdim=True)).reshape(chosen.shape)
