"""What the first token of an answer is: its distribution after a prompt. No token is decoded.

Safety that lies in the first tokens alone (Qi et al. 2024, arXiv 2406.05946) is lost there first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from safebasin.locate.states import padded

if TYPE_CHECKING:
    import torch

__all__ = ["divergence", "first_tokens"]

_BATCH = 4
"""Prompts of a pass: logits of every position are made, and vocabularies are large."""


def first_tokens(model: Any, tokens: Sequence[Sequence[int]]) -> torch.Tensor:
    """Log-probabilities of the token after each prompt, (prompts, vocabulary), float32 on the CPU.

    Args:
        model: a causal language model of transformers.
        tokens: rows of token ids, the assistant's turn opened; none empty.
    """
    import torch

    device = next(model.parameters()).device
    found: list[torch.Tensor] = []
    for start in range(0, len(tokens), _BATCH):
        ids, mask, lengths = padded(tokens[start : start + _BATCH], device)
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        last = logits[torch.arange(len(lengths), device=device), lengths - 1]
        found.append(last.float().log_softmax(dim=-1).cpu())
    return torch.cat(found)


def divergence(before: torch.Tensor, after: torch.Tensor) -> float:
    """KL(before ‖ after) in nats, mean over prompts; both (prompts, vocabulary), log-probabilities."""
    each = (before.exp() * (before - after)).sum(dim=-1)
    return float(each.double().mean())
