"""A key-value cache that grows in place and lets go of rows.

Not a cache of its own kind: transformers' `DynamicCache`, in which plain attention layers are replaced. The stock layer
concatenates at every token, which copies the whole cache each time: on small models that is most of the time spent.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import cast

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import (
    DynamicIndexedLayer,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    LinearAttentionAndFullAttentionLayer,
    LinearAttentionAndSlidingWindowAttentionLayer,
    LinearAttentionLayer,
    get_layer_types_and_kwargs,
)

from safebasin.untrusted import is_memory

__all__ = [
    "GrowingLayer",
    "attempt",
    "attends_only",
    "growing_cache",
    "grown",
    "holds_state",
    "keep_rows",
]

_HEADROOM = 64


def grown(needed: int) -> int:
    """The capacity of a buffer that has become too small: a quarter more than is needed, and some in any case."""
    return max(needed + _HEADROOM, needed * 5 // 4)


class GrowingLayer(DynamicLayer):
    """A layer whose keys and values are views of a buffer, (rows, heads, capacity, width), grown by a quarter."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._buffers: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append the new states; returns all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        stop = start + key_states.shape[-2]  # states are (rows, heads, new tokens, width)
        if self._buffers is None or stop > self._buffers[0].shape[-2]:
            capacity = grown(stop)
            self._buffers = (_roomy(key_states, self.keys, capacity), _roomy(value_states, self.values, capacity))
        keys, values = self._buffers
        keys[:, :, start:stop] = key_states
        values[:, :, start:stop] = value_states
        # views: the rest of the buffer is room for later tokens, and attention must not see it
        self.keys, self.values = keys[:, :, :stop], values[:, :, :stop]
        return self.keys, self.values

    def reorder_cache(self, beam_idx: torch.LongTensor) -> None:
        """Keep the rows `beam_idx`, in that order."""
        if self._buffers is None or self.keys is None or self.values is None:
            return
        stop = self.get_seq_length()
        chosen = beam_idx.to(self.keys.device)
        self._buffers = (
            _roomy(self.keys, self.keys.index_select(0, chosen), stop + _HEADROOM),
            _roomy(self.values, self.values.index_select(0, chosen), stop + _HEADROOM),
        )
        self.keys, self.values = (buffer[:, :, :stop] for buffer in self._buffers)


def _roomy(like: torch.Tensor, held: torch.Tensor | None, capacity: int) -> torch.Tensor:
    """A buffer of that capacity which starts with what is held."""
    full = held is not None and held.numel() > 0
    rows = held.shape[0] if held is not None and full else like.shape[0]
    buffer = like.new_empty((rows, like.shape[1], capacity, like.shape[3]))
    if held is not None and full:
        buffer[:, :, : held.shape[-2]] = held
    return buffer


class NothingKept(LinearAttentionLayer):
    """The place in the cache of a block without attention, such as one of experts alone."""


_ATTENTION = (DynamicLayer, GrowingLayer, DynamicSlidingWindowLayer, DynamicIndexedLayer)
_STATES = (
    LinearAttentionLayer,
    LinearAttentionAndFullAttentionLayer,
    LinearAttentionAndSlidingWindowAttentionLayer,
)
"""Layers that hold a recurrent or convolutional state of each row, which can be dropped but not taken back."""

_CANNOT = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What a model raises that cannot do what is asked of it."""


@contextmanager
def attempt(told: Callable[[str], None] = lambda why: None) -> Generator[None]:
    """Around what a model may be unable to do, such as to take a cache of ours: the block ends there, and no error.

    What is no fault of the model passes: the device failed, or memory is short.

    Args:
        told: called with what the model raised, in a line.
    """
    try:
        yield
    except _CANNOT as error:
        if is_memory(error) or "CUDA error" in str(error):
            raise
        told(" ".join(str(error).split())[:200] or type(error).__name__)


def growing_cache(model: PreTrainedModel) -> DynamicCache | None:
    """An empty cache for this model, or None where its cache is not one that rows can be dropped from.

    Refused are layers that a model defines for itself.
    """
    if not model._supports_default_dynamic_cache():  # pyright: ignore[reportCallIssue]
        return None
    config = model.config.get_text_config(decoder=True)
    cache = DynamicCache(config=config)
    if any(type(layer) not in (*_ATTENTION, *_STATES) for layer in cache.layers):
        return None
    kinds, _ = get_layer_types_and_kwargs(config)
    for at, kind in enumerate(kinds):
        if kind in ("moe", "mlp"):
            cache.layers[at] = NothingKept()
        elif type(cache.layers[at]) is DynamicLayer:
            cache.layers[at] = GrowingLayer()
    return cache


def attends_only(cache: DynamicCache) -> bool:
    """Tell whether a cache is one of keys and values alone: several tokens may then follow it in one pass."""
    return all(type(layer) in _ATTENTION for layer in cache.layers)


def holds_state(cache: object, length: int) -> bool:
    """Tell whether a cache holds all that a model has read: every layer has its keys and values, or its state.

    Args:
        cache: what a forward pass returned for the cache it was given; None where it returned none.
        length: tokens read so far.
    """
    if not isinstance(cache, DynamicCache) or not all(map(_is_held, cache.layers)):
        return False
    attention = [layer for layer in cache.layers if isinstance(layer, DynamicLayer)]
    return bool(cache.layers) and all(layer.get_seq_length() == length for layer in attention)


def _is_held(layer: object) -> bool:
    if type(layer) is LinearAttentionLayer:
        return any(layer.is_conv_states_initialized.values()) or any(layer.is_recurrent_states_initialized.values())
    return type(layer) is NothingKept or (
        type(layer) in (*_ATTENTION, *_STATES) and getattr(layer, "is_initialized", False)
    )


def keep_rows(cache: DynamicCache, rows: torch.Tensor) -> None:
    """Drop every row of the cache but `rows` (indices, in the order wanted)."""
    cache.reorder_cache(cast("torch.LongTensor", rows))
