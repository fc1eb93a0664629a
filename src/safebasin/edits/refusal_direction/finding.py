"""Candidates for the refusal direction: difference of means at each block's input and position, and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from safebasin.edits.refusal_direction.asking import Asked, ask, divergence, refusal_score
from safebasin.edits.refusal_direction.residual import ablated, capturing, steered
from safebasin.edits.refusal_direction.selecting import Candidate
from safebasin.weights.blocks import block_modules

__all__ = ["differences", "scored"]


def differences(model: Any, asked: Asked) -> torch.Tensor:
    """Mean over refused less mean over answered prompts, (positions, layers, width), float64.

    Position i is that of token i − positions, so the last one is −1.
    """
    harmful, harmless = (_means(model, prompts, asked.positions) for prompts in (asked.harmful, asked.harmless))
    return harmful - harmless


def scored(model: nn.Module, writers: Sequence[nn.Module], asked: Asked, found: torch.Tensor) -> tuple[Candidate, ...]:
    """Score what each candidate does on the held-out prompts. A direction of length 0 is none."""
    before = [ask(model, ids) for ids in asked.harmless_held]
    made: list[Candidate] = []
    for place in range(found.shape[0]):
        for layer in range(len(block_modules(model))):
            direction = found[place, layer]
            if float(direction.norm()) < 1e-8:
                continue
            with ablated(model, writers, direction / direction.norm()):
                refused = [refusal_score(ask(model, ids), asked.tokens) for ids in asked.harmful_held]
                after = [ask(model, ids) for ids in asked.harmless_held]
            with steered(model, layer, direction):
                moved = [refusal_score(ask(model, ids), asked.tokens) for ids in asked.harmless_held]
            kl = [divergence(one, other) for one, other in zip(before, after, strict=True)]
            made.append(
                Candidate(
                    position=place - found.shape[0], layer=layer, ablation=_mean(refused), steering=_mean(moved),
                    kl=_mean(kl),
                )
            )  # fmt: skip
    return tuple(made)


def _means(model: Any, prompts: Sequence[torch.Tensor], positions: int) -> torch.Tensor:
    total: torch.Tensor | None = None
    with capturing(model, positions) as seen:
        for ids in prompts:
            seen.clear()
            ask(model, ids)
            stream = torch.stack(seen, dim=1)  # (positions, layers, width)
            total = stream if total is None else total + stream
    assert total is not None
    return total / len(prompts)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
