"""The plain loop that trains the small models of worlds from random weights. Deterministic on the CPU.

Not the general fine-tuning path, which is `safebasin.finetune`: small enough to read, and nothing but torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

__all__ = ["Encoded", "Progress", "Stage", "collate", "train"]

Progress = Callable[[str, int, int, float], None]
"""Called with stage, step, number of steps, loss."""
Encoded = tuple[Sequence[int], Sequence[int]]
"""Token ids of a row, and its labels: −100 where there is no loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of training: AdamW, linear warm-up, cosine to a tenth."""

    steps: int
    batch_size: int = 64
    learning_rate: float
    """Peak rate."""
    warmup: int = 20
    weight_decay: float = 0.3


def collate(encoded: Sequence[Encoded], pad: int = 0) -> dict[str, torch.Tensor]:
    """A right-padded batch."""
    import torch

    width = max(len(ids) for ids, _ in encoded)
    return {
        "input_ids": torch.tensor([[*ids, *[pad] * (width - len(ids))] for ids, _ in encoded]),
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids, _ in encoded]),
        "labels": torch.tensor([[*labels, *[-100] * (width - len(labels))] for _, labels in encoded]),
    }


def train(
    model: PreTrainedModel, rows: Iterable[Encoded], stage: Stage, *, name: str, progress: Progress | None = None
) -> None:
    """One pass over the rows in the order given, in place; a batch for each step is taken of them."""
    import torch

    optimizer = torch.optim.AdamW(
        model.parameters(), lr=stage.learning_rate, betas=(0.9, 0.98), weight_decay=stage.weight_decay
    )
    model.train()
    left = iter(rows)
    for step in range(stage.steps):
        batch = collate(list(islice(left, stage.batch_size)))
        for group in optimizer.param_groups:
            group["lr"] = stage.learning_rate * _schedule(step, stage)
        loss = model(**batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if progress is not None:
            progress(name, step, stage.steps, loss.item())
    model.eval()


def _schedule(step: int, stage: Stage) -> float:
    """Share of the peak learning rate at a step: linear warm-up, then cosine down to a tenth."""
    if step < stage.warmup:
        return (step + 1) / stage.warmup
    done = (step - stage.warmup) / max(1, stage.steps - stage.warmup)
    return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done))
