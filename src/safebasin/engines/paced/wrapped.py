"""The forward pass of any transformers model over rows of their own lengths, where it is proven to be the model's own.

The model is shown the rows' keys and values as a cache of its kind, and told by a mask of four dimensions what each
token may look at. That serves causal attention, full or within a window, whose positions are arguments; whether it
serves an architecture is not listed anywhere but tried (`proving`). Several parts are shown to it as one row, where
that serves too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from safebasin.engines.paced.grouped import Held, attending, marked
from safebasin.engines.ragged import Part, RaggedCache
from safebasin.models.loading import n_embeddings

__all__ = ["AnyModel", "Layout"]


@dataclass(frozen=True)
class Layout:
    """Shapes of a model's cache and kinds of its masks: heads, key width and value width of each layer; attention."""

    shapes: tuple[tuple[int, int, int], ...]
    kinds: tuple[str, ...]
    """Of each layer."""
    window: int | None
    at_once: bool = False
    """Whether several parts take one pass."""


class AnyModel:
    """The forward pass over the next tokens of rows that are in a cache (`passes.Pass`).

    Args:
        model: the model.
        layout: of its cache.
        longest: the most tokens that a row can get: what is tried beyond has no position of its own.
    """

    def __init__(self, model: PreTrainedModel, layout: Layout, longest: int) -> None:
        self._model = model
        self._layout = layout
        self._longest = longest
        self.vocabulary = n_embeddings(model)
        self.at_once = layout.at_once

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return self._model.device

    def empty_cache(self, n_rows: int) -> RaggedCache:
        """A cache of rows that hold nothing yet."""

        def empty(heads: int, width: int) -> torch.Tensor:
            return torch.empty(n_rows, heads, 0, width, dtype=torch.float32, device=self.device)

        layers = [(empty(heads, keys), empty(heads, values)) for heads, keys, values in self._layout.shapes]
        return RaggedCache(layers, np.zeros(n_rows, dtype=np.int64))

    def __call__(self, parts: Sequence[Part]) -> list[torch.Tensor]:
        """Logits, (rows, n, vocabulary), after each of the tokens of each part."""
        sizes = [part.tokens.numel() for part in parts]
        if len(parts) == 1:
            logits = [self._run(parts, n_logits=parts[0].tokens.shape[1])]
        elif self.at_once:
            logits = self._run(parts, n_logits=sum(sizes)).split(sizes, dim=1)
        else:
            logits = [self([part])[0] for part in parts]
        return [one.to(torch.float32).view(*part.tokens.shape, -1) for part, one in zip(parts, logits, strict=True)]

    def read(self, tokens: torch.Tensor, cache: RaggedCache) -> None:
        """Write the next n tokens of each row, (rows, n), to the cache; its lengths stay."""
        self._run([Part(tokens, cache)], n_logits=1)

    def _run(self, parts: Sequence[Part], *, n_logits: int) -> torch.Tensor:
        """Logits, (rows, `n_logits`, vocabulary); of several parts as of one row."""
        looks = [self._look(part) for part in parts]
        single = len(parts) == 1
        tokens, at = (
            some[0] if single else torch.cat([one.reshape(1, -1) for one in some], dim=1)
            for some in ([part.tokens for part in parts], [look.at for look in looks])
        )
        # of several parts each brings its own mask with its keys: this one only says that none is to be made
        masks = (
            looks[0].masks if single else dict.fromkeys(looks[0].masks, tokens.new_zeros(1, 1, *2 * tokens.shape[1:]))
        )
        shown = DynamicCache()
        shown.layers.extend(_Layer(looks, number, kind) for number, kind in enumerate(self._layout.kinds))
        with attending(self._model):
            return self._model(
                input_ids=tokens,
                attention_mask=masks if len(masks) > 1 else next(iter(masks.values())),
                position_ids=at.clamp(max=self._longest - 1),
                past_key_values=shown,
                use_cache=True,
                logits_to_keep=n_logits,
                return_dict=True,
            ).logits

    def _look(self, part: Part) -> _Look:
        n, cache = part.tokens.shape[1], part.cache
        cache.reserve(n)
        at, length = cache.positions(n), int(cache.lengths.max()) + n
        back = at[:, None, :, None] - torch.arange(length, device=at.device)  # (rows, 1, n, length): ≥ 0 is behind
        masks: dict[str, torch.Tensor] = {}
        for kind in dict.fromkeys(self._layout.kinds):
            hidden = back < 0
            if kind == "sliding_attention":
                hidden |= back >= cast("int", self._layout.window)
            masks[kind] = torch.zeros(hidden.shape, device=at.device).masked_fill_(hidden, float("-inf"))
        return _Look(cache, n, at, {heads: cache.columns(n, heads) for heads in set(cache.heads)}, length, masks)


@dataclass(frozen=True)
class _Look:
    """Where the n tokens of each row of a part go, and what they look at."""

    cache: RaggedCache
    n: int
    at: torch.Tensor
    """Positions, (rows, n)."""
    columns: dict[int, torch.Tensor]
    """Places in layers of so many heads (`RaggedCache.columns`)."""
    length: int
    """Columns that are looked at."""
    masks: dict[str, torch.Tensor]
    """(rows, 1, n, length), 0 or -inf, by kind of layer."""


class _Layer(DynamicLayer):
    """One layer of what parts hold, as transformers wants it, for one pass.

    Args:
        looks: of the parts.
        at: number of the layer.
        kind: of its attention.
    """

    def __init__(self, looks: Sequence[_Look], at: int, kind: str) -> None:
        super().__init__()
        self._looks, self._at, self._kind = looks, at, kind
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write new states, (rows, heads, n, width), each row's behind its own end; of several parts as of one row."""
        if len(self._looks) == 1:
            self.keys, self.values = self._write(self._looks[0], key_states, value_states)
            return self.keys, self.values
        sizes = [look.at.numel() for look in self._looks]
        held: list[Held] = []
        for look, *states in zip(
            self._looks, *(s.split(sizes, dim=2) for s in (key_states, value_states)), strict=True
        ):
            new = (s[0].view(s.shape[1], -1, look.n, s.shape[3]).transpose(0, 1) for s in states)
            held.append(Held(*self._write(look, *new), look.masks[self._kind]))
        self.keys, self.values = marked(key_states, held), value_states
        return self.keys, self.values

    def _write(self, look: _Look, keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return look.cache.write(self._at, keys, values, look.columns[keys.shape[1]], look.length)

    def get_seq_length(self) -> int:
        """Count the columns before this pass."""
        return max(int(look.cache.lengths.max()) for look in self._looks)
