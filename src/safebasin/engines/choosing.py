"""Which token comes next: the likeliest, and how near to it the second is. What both decoding loops share."""

from __future__ import annotations

from dataclasses import dataclass

import torch

__all__ = ["MOVE_SHARE", "Chosen", "chosen"]

MOVE_SHARE = 0.1
"""Rows are dropped or set aside when they are this share of those decoded together: that copies the others, or them."""


@dataclass(frozen=True)
class Chosen:
    """The next tokens of some rows, a list for each row; with each its logit and how far the second lies below."""

    tokens: list[list[int]]
    best: list[list[float]]
    gaps: list[list[float]]


def chosen(logits: torch.Tensor) -> Chosen:
    """The one next token of each row; logits are (rows, vocabulary)."""
    first, second = logits.topk(2, dim=-1).values.unbind(-1)
    return Chosen(*(t[:, None].tolist() for t in (logits.argmax(dim=-1), first, first - second)))
