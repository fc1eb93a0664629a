"""The residual stream of any decoder: what its blocks give, at the end of prompts, and how to add to it. No method."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import nn

from safebasin.errors import ModelError, expected
from safebasin.models.files import memory_errors
from safebasin.weights.blocks import block_modules

__all__ = ["adding", "last_states", "padded"]

_ROWS = 16
"""Rows of one forward pass, where many are read."""


def padded(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and mask of rows, (rows, longest) each, padded at the left."""
    width = max(map(len, rows))
    ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in rows], device=device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
    return ids, mask


def last_states(
    model: nn.Module, ids: torch.Tensor, mask: torch.Tensor, *, columns: Sequence[int] = (-1,), normed: bool = False
) -> torch.Tensor:
    """Read what each block gives at some columns of left-padded prompts.

    Args:
        model: a causal language model of transformers, in eval mode.
        ids: tokens, (rows, width).
        mask: (rows, width), 1 where a token is real.
        columns: which ones, from the end as −1.
        normed: take the last block's after the final norm, as the list of hidden states of transformers holds it.

    Returns:
        float32, (rows, columns, blocks, width of the model).

    Raises:
        ModelError: where the blocks cannot be told, or one gives no tensor of that shape.
        MemoryError: where a pass does not fit.
    """
    blocks = block_modules(model)
    parts = [
        _states(model, blocks, ids[at : at + _ROWS], mask[at : at + _ROWS], columns, normed=normed)
        for at in range(0, len(ids), _ROWS)
    ]
    return torch.cat(parts)


def _states(
    model: nn.Module,
    blocks: Sequence[nn.Module],
    ids: torch.Tensor,
    mask: torch.Tensor,
    columns: Sequence[int],
    *,
    normed: bool,
) -> torch.Tensor:
    found: dict[int, torch.Tensor] = {}

    def keeping(number: int) -> Callable[[torch.Tensor], torch.Tensor]:
        def keep(state: torch.Tensor) -> torch.Tensor:
            found[number] = state[:, list(columns)].float()
            return state

        return keep

    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    with memory_errors(), torch.inference_mode(), adding(blocks, {n: keeping(n) for n in range(len(blocks))}):
        decoder = cast("Any", model).base_model
        taken = {"position_ids": positions} if _takes_positions(decoder) else {}
        out = decoder(input_ids=ids, attention_mask=mask, use_cache=False, **taken)
    if normed:
        found[len(blocks) - 1] = out.last_hidden_state[:, list(columns)].float()
    return torch.stack([found[number] for number in range(len(blocks))], dim=2)


def _takes_positions(decoder: nn.Module) -> bool:
    import inspect

    return "position_ids" in inspect.signature(decoder.forward).parameters


@contextmanager
def adding(
    blocks: Sequence[nn.Module], changes: Mapping[int, Callable[[torch.Tensor], torch.Tensor]]
) -> Generator[None]:
    """Change what blocks give while the context lasts.

    Args:
        blocks: of a decoder.
        changes: number of a block → a function of its output, (rows, tokens, width of the model).

    Raises:
        ModelError: where a block gives no such tensor.
    """
    handles = [blocks[number].register_forward_hook(_hook(change)) for number, change in changes.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., object]:
    def hook(module: nn.Module, given: object, out: object) -> object:
        state = cast("tuple[object, ...]", out)[0] if isinstance(out, tuple) else out
        if not isinstance(state, torch.Tensor) or state.ndim != 3:
            constraint = "a tensor of rows, tokens and width, or a tuple that begins with it"
            remedy = "Such a model cannot be steered by its blocks."
            raise ModelError(expected(f"what {type(module).__name__} gives", constraint, type(state).__name__, remedy))
        changed = change(state)
        return (changed, *cast("tuple[object, ...]", out)[1:]) if isinstance(out, tuple) else changed

    return hook
