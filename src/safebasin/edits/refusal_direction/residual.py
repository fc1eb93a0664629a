"""The residual stream at the inputs of the decoder blocks: read, moved along a direction, or kept free of it.

Blocks are found by the names of the parameters, so any architecture will do whose blocks take the stream first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import nn

from safebasin.errors import ModelError, expected
from safebasin.weights.blocks import block_modules

__all__ = ["ablated", "capturing", "steered", "without"]


def without(x: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """X − r̂ r̂ᵀ x over the last axis; r̂ of unit length."""
    r = direction.to(x)
    return x - (x @ r)[..., None] * r


@contextmanager
def capturing(model: nn.Module, n: int) -> Iterator[list[torch.Tensor]]:
    """While it lasts, each pass over one prompt fills the list: the stream at each block's input, its last n tokens.

    Each entry is (n, width), float64 on the CPU; the list is emptied by whoever reads it.
    """
    seen: list[torch.Tensor] = []

    def keep(x: torch.Tensor) -> torch.Tensor:
        seen.append(x[0, -n:].detach().cpu().double())
        return x

    with _changed(block_modules(model), [], keep):
        yield seen


@contextmanager
def ablated(model: nn.Module, writers: Sequence[nn.Module], direction: torch.Tensor) -> Iterator[None]:
    """Keep the stream free of a direction: at the input of every block, and in whatever is written to it."""
    with _changed(block_modules(model), writers, lambda x: without(x, direction)):
        yield


@contextmanager
def steered(model: nn.Module, layer: int, direction: torch.Tensor) -> Iterator[None]:
    """Add a direction, at its own length, to the stream at the input of one block."""
    with _changed([block_modules(model)[layer]], [], lambda x: x + direction.to(x)):
        yield


@contextmanager
def _changed(blocks: Sequence[nn.Module], writers: Sequence[nn.Module], change: Any) -> Iterator[None]:
    """Pass the inputs of some modules and the outputs of others through a function."""

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        if args and isinstance(args[0], torch.Tensor):
            return (change(args[0]), *args[1:]), kwargs
        if isinstance(kwargs.get("hidden_states"), torch.Tensor):
            return args, {**kwargs, "hidden_states": change(kwargs["hidden_states"])}
        remedy = "Such an architecture has no stream that could be read here."
        got = type(module).__name__
        raise ModelError(expected("a decoder block", "one that takes the hidden states first", got, remedy))

    def after(module: nn.Module, args: Any, out: Any) -> Any:
        return change(cast("torch.Tensor", out))

    handles = [block.register_forward_pre_hook(before, with_kwargs=True) for block in blocks]
    handles += [writer.register_forward_hook(after) for writer in writers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
