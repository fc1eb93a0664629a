"""What the first token of an answer is: how far its distribution after a prompt has moved. No token is decoded.

Safety that lies in the first tokens alone (Qi et al. 2024, arXiv 2406.05946) is lost there first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["divergence"]


def divergence(before: torch.Tensor, after: torch.Tensor) -> float:
    """KL(before ‖ after) in nats, mean over prompts; both (prompts, vocabulary), log-probabilities."""
    each = (before.exp() * (before - after)).sum(dim=-1)
    return float(each.double().mean())
