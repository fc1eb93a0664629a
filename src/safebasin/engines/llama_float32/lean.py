"""Plain Llamas without the module machinery: the same operations on the same parameters, rows of their own lengths.

On models of a few million parameters most of a step is spent in Python between the kernels. Nothing is copied from the
model but references, so weights that are overwritten in place are seen. Only plain `LlamaForCausalLM` in float32 is
taken: in half precision, sums over keys in other columns would round to other tokens. Every other architecture goes
through transformers (`paced.wrapped`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import LlamaForCausalLM, PreTrainedModel

from safebasin.engines.ragged import Part, RaggedCache
from safebasin.models.spreading import devices_of

__all__ = ["LeanLlama", "attended"]

_STATIC_ROPE = ("default", "linear", "llama3")

Attend = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Attention of a layer, given by its number: what the heads make of queries, keys and values of new tokens, each
(rows, n, heads, width), joined: (rows, n, heads·width)."""


class _Block(NamedTuple):
    """The parameters of one layer, as functions want them."""

    norm: nn.Parameter
    q: nn.Linear
    k: nn.Linear
    v: nn.Linear
    o: nn.Linear
    norm_mlp: nn.Parameter
    gate: nn.Linear
    up: nn.Linear
    down: nn.Linear


class _Look(NamedTuple):
    """Where the tokens of a part stand, and what they look at, in every layer alike."""

    at: torch.Tensor
    """Positions, (rows, n): each row from its own length on."""
    columns: torch.Tensor
    """Places in the cache (`RaggedCache.columns`)."""
    length: int
    """Columns of the cache that are looked at."""
    bias: torch.Tensor
    """What attention adds, (rows, 1, n, length)."""


class LeanLlama:
    """The forward pass over the next tokens of rows that are in a cache.

    Args:
        model: one that `fits` accepts.
        n_positions: the longest that a row can get, tokens that are only tried included.
    """

    def __init__(self, model: PreTrainedModel, n_positions: int) -> None:
        plain = cast("Any", model)
        self._blocks = [
            _Block(
                norm=block.input_layernorm.weight,
                q=block.self_attn.q_proj,
                k=block.self_attn.k_proj,
                v=block.self_attn.v_proj,
                o=block.self_attn.o_proj,
                norm_mlp=block.post_attention_layernorm.weight,
                gate=block.mlp.gate_proj,
                up=block.mlp.up_proj,
                down=block.mlp.down_proj,
            )
            for block in plain.model.layers
        ]
        self._embedding: torch.Tensor = plain.model.embed_tokens.weight
        self._norm: torch.Tensor = plain.model.norm.weight
        self._head: nn.Linear = plain.lm_head
        self._eps: float = plain.config.rms_norm_eps
        self._width: int = plain.model.layers[0].self_attn.head_dim
        self.at_once = True
        self.vocabulary: int = plain.config.vocab_size
        every = torch.arange(n_positions, device=self._embedding.device)[None]
        cos, sin = plain.model.rotary_emb(self._embedding, every)
        # a rotation swaps the halves of a head and negates the one that comes first: the sign is put into the sine once
        sign = torch.ones_like(sin[0]).tensor_split(2, dim=-1)
        self._cos, self._sin = cos[0], sin[0] * torch.cat([-sign[0], sign[1]], dim=-1)

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return self._embedding.device

    def empty_cache(self, n_rows: int) -> RaggedCache:
        """A cache of rows that hold nothing yet."""
        return RaggedCache(self.nothing(n_rows), np.zeros(n_rows, dtype=np.int64))

    def nothing(self, n_rows: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Keys and values of each layer, each (rows, heads, 0, width), of rows that hold nothing yet."""
        states = [
            self._embedding.new_empty(n_rows, b.k.out_features // self._width, 0, self._width) for b in self._blocks
        ]
        return [(one, one) for one in states]

    @property
    def state_bytes(self) -> int:
        """Bytes of the keys and values of one token."""
        return sum(2 * 4 * block.k.out_features for block in self._blocks)

    @staticmethod
    def fits(model: PreTrainedModel) -> bool:
        """Tell whether a model is what this module writes out."""
        if type(model) is not LlamaForCausalLM or model.dtype != torch.float32 or len(devices_of(model)) > 1:
            return False
        config = cast("Any", model.config)
        return (
            config._attn_implementation == "sdpa"
            and config.hidden_act == "silu"
            and config.rope_parameters["rope_type"] in _STATIC_ROPE
            and all(type(m) is nn.Linear for n, m in model.named_modules() if n.endswith(("_proj", "lm_head")))
            and not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
        )

    def __call__(self, parts: Sequence[Part]) -> list[torch.Tensor]:
        """Logits, (rows, n, vocabulary), after each of the tokens of each part: one product for all of them."""
        # the head, at every position: a guess is checked at all of them
        logits = self.logits(self._hidden(parts)[0])
        sizes = [part.tokens.numel() for part in parts]
        return [of.view(*part.tokens.shape, -1) for part, of in zip(parts, logits.split(sizes), strict=True)]

    def read(self, tokens: torch.Tensor, cache: RaggedCache) -> None:
        """Write the next n tokens of each row, (rows, n), to the cache; its lengths stay."""
        self._hidden([Part(tokens, cache)])

    def _hidden(self, parts: Sequence[Part]) -> torch.Tensor:
        """What the last block gives, (1, tokens of all parts, hidden)."""
        looks = [self._look(part) for part in parts]
        sizes = [part.tokens.numel() for part in parts]

        def attend(layer: int, *new: torch.Tensor) -> torch.Tensor:
            found: list[torch.Tensor] = []
            for part, look, *states in zip(parts, looks, *(one.split(sizes, dim=1) for one in new), strict=True):
                query, key, value = (one.view(*part.tokens.shape, *one.shape[2:]) for one in states)
                keys, values = part.cache.write(
                    layer, key.transpose(1, 2), value.transpose(1, 2), look.columns, look.length
                )
                found.append(attended(query, keys, values, look.bias).view(1, part.tokens.numel(), -1))
            return torch.cat(found, dim=1) if len(found) > 1 else found[0]

        tokens, at = (
            torch.cat([one.reshape(1, -1) for one in some], dim=1)
            for some in ([part.tokens for part in parts], [look.at for look in looks])
        )
        return self.hidden(tokens, at, attend)

    def _look(self, part: Part) -> _Look:
        n, cache = part.tokens.shape[1], part.cache
        cache.reserve(n)
        at, length = cache.positions(n), int(cache.lengths.max()) + n
        ahead = torch.arange(length, device=at.device) > at[:, None, :, None]
        return _Look(at, cache.columns(n, cache.heads[0]), length, self.bias(ahead))

    def hidden(self, tokens: torch.Tensor, at: torch.Tensor, attend: Attend) -> torch.Tensor:
        """Compute what the last block makes of tokens, (rows, n), at these positions, (rows, n): (rows, n, hidden)."""
        cos, sin = self._cos[at][:, :, None], self._sin[at][:, :, None]  # (rows, n, 1, width): one for all heads
        x = functional.embedding(tokens, self._embedding)  # (rows, n, hidden); a copy, so that it may be added to
        for layer, block in enumerate(self._blocks):
            h = self._normed(x, block.norm)  # attention
            query, key = (self._rotated(self._heads(_linear(h, p)), cos, sin) for p in (block.q, block.k))
            value = self._heads(_linear(h, block.v))
            x += _linear(attend(layer, query, key, value), block.o)
            h = self._normed(x, block.norm_mlp)  # MLP
            x += _linear(functional.silu(_linear(h, block.gate), inplace=True).mul_(_linear(h, block.up)), block.down)
        return x

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits, (…, vocabulary), of what the last block gave, (…, hidden)."""
        return _linear(self._normed(hidden, self._norm), self._head)

    def bias(self, hidden: torch.Tensor) -> torch.Tensor:
        """Make what attention adds: −inf for tokens that are hidden, where this is True, else 0; of the same shape."""
        return torch.zeros(hidden.shape, dtype=self._embedding.dtype, device=self.device).masked_fill_(
            hidden.to(self.device), float("-inf")
        )

    def _normed(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(x, weight.shape, weight, self._eps)

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, n, heads·width) → (rows, n, heads, width)."""
        return x.view(x.shape[0], x.shape[1], -1, self._width)

    def _rotated(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        return (x * cos).add_(x.roll(self._width // 2, dims=-1).mul_(sin))


def attended(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Attention of queries, (rows, n, heads, width), joined: (rows, n, heads·width)."""
    rows, n, heads, width = query.shape
    groups = heads // keys.shape[1]
    if n == 1:
        # queries that share a key head take the place of its query positions, so no key is read twice
        grouped = query.view(rows, keys.shape[1], groups, width)
        mixed = functional.scaled_dot_product_attention(grouped, keys, values, attn_mask=bias)
        return mixed.reshape(rows, 1, -1)
    mixed = functional.scaled_dot_product_attention(
        query.transpose(1, 2), keys, values, attn_mask=bias, enable_gqa=groups > 1
    )
    return mixed.transpose(1, 2).reshape(rows, n, -1)


def _linear(x: torch.Tensor, linear: nn.Linear) -> torch.Tensor:
    return linear.forward(x)  # without the checks of a module, which has no hooks; if prepacked, `forward` is its own
