"""Attention of the next tokens without a copy of the keys for every query head that shares them, and part by part.

In place of transformers' `sdpa_attention_forward`, which repeats keys and values of grouped heads where there is a
mask: at a batch of 40 rows of a few hundred tokens that is more memory traffic than the weights are. Tokens of several
parts come as one row, whose keys carry what each part attends to (`marked`).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

__all__ = ["Held", "attending", "marked"]

_NAME = "safebasin_grouped"
_PARTS = "_safebasin_parts"


class Held(NamedTuple):
    """Keys, values and mask of a part in one layer, for n new tokens of each of its rows."""

    keys: torch.Tensor
    """(rows, heads, length, width)."""
    values: torch.Tensor
    """(rows, heads, length, width of values)."""
    mask: torch.Tensor
    """(rows, 1, n, length), 0 or −inf."""


def marked(key: torch.Tensor, parts: Sequence[Held]) -> torch.Tensor:
    """New keys of several parts as one row, (1, heads, tokens, width), that say what each part attends to.

    A model whose attention is given another tensor than its cache gave it loses the mark, and attends to nonsense:
    whether it does is tried (`paced.proving`).
    """
    own = key.view_as(key)
    setattr(own, _PARTS, tuple(parts))
    return own


def _apart(
    module: nn.Module, query: torch.Tensor, parts: Sequence[Held], given: dict[str, Any]
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Attention of the tokens of several parts as one row, (1, heads, tokens, width): (1, tokens, heads, width)."""
    sizes = [part.mask.shape[0] * part.mask.shape[2] for part in parts]
    found: list[torch.Tensor] = []
    for part, of in zip(parts, query.split(sizes, dim=2), strict=True):
        rows, n = part.mask.shape[0], part.mask.shape[2]
        own = of.view(of.shape[1], rows, n, -1).transpose(0, 1)  # (rows, heads, n, width)
        mixed, _ = _attended(module, own, part.keys, part.values, part.mask, **given)
        found.append(mixed.reshape(1, rows * n, *mixed.shape[2:]))
    return torch.cat(found, dim=1), None


def _attended(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    position_bias: torch.Tensor | None = None,
    **given: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Attention of queries, (rows, heads, n, width), as the function of transformers: (rows, n, heads, width)."""
    parts = getattr(key, _PARTS, None)
    if parts is not None:
        return _apart(module, query, parts, {"scaling": scaling, "position_bias": position_bias, **given})
    rows, heads, n, width = query.shape
    groups = heads // key.shape[1]
    if position_bias is not None or attention_mask is None or attention_mask.shape[1] != 1:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, position_bias=position_bias, **given
        )
    if n == 1:
        # queries that share a key head take the place of its query positions, so no key is read twice
        grouped = query.reshape(rows, key.shape[1], groups, width)
        mixed = functional.scaled_dot_product_attention(grouped, key, value, attn_mask=attention_mask, scale=scaling)
        return mixed.reshape(rows, 1, heads, -1), None
    mixed = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, scale=scaling, enable_gqa=groups > 1
    )
    return mixed.transpose(1, 2).contiguous(), None


AttentionInterface.register(_NAME, _attended)


@contextmanager
def attending(model: PreTrainedModel) -> Generator[None]:
    """In the block a model whose attention is `sdpa` attends as here; one of another kind stays as it is."""
    configs = {id(config): config for config in (model.config, model.config.get_text_config(decoder=True))}.values()
    before = [config._attn_implementation for config in configs]
    if set(before) != {"sdpa"}:
        yield
        return
    try:
        for config in configs:
            config._attn_implementation = _NAME
        yield
    finally:
        for config, name in zip(configs, before, strict=True):
            config._attn_implementation = name
