"""A key-value cache of rows of their own lengths: the token at position p of a row is in column p.

Rows may take different numbers of tokens from one pass: each grows by what its caller counts. Not a cache of
transformers; `paced.wrapped` shows it to a model as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from safebasin.engines.cache import grown

__all__ = ["Part", "RaggedCache"]


class RaggedCache:
    """Keys and values of rows of different lengths.

    Args:
        layers: keys and values of each layer, each (rows, heads, capacity, width); heads and widths may differ.
        lengths: tokens of each row, (rows,).
    """

    def __init__(self, layers: Sequence[tuple[torch.Tensor, torch.Tensor]], lengths: NDArray[np.int64]) -> None:
        self._layers = list(layers)
        self._used = self._layers[0][0].shape[2]  # columns in which anything may stand
        self.lengths = lengths

    @property
    def n_bytes(self) -> int:
        """Bytes of the buffers."""
        return sum(keys.nbytes + values.nbytes for keys, values in self._layers)

    @property
    def heads(self) -> list[int]:
        """Heads of keys and values of each layer."""
        return [keys.shape[1] for keys, _ in self._layers]

    def reserve(self, n: int) -> None:
        """Make room for n more tokens in every row."""
        needed = int(self.lengths.max()) + n
        self._used = max(self._used, needed)
        if needed > self._layers[0][0].shape[2]:
            wide = grown(needed)
            self._layers = [(_widened(keys, wide), _widened(values, wide)) for keys, values in self._layers]

    def positions(self, n: int) -> torch.Tensor:
        """Positions of the next n tokens of each row, (rows, n)."""
        device = self._layers[0][0].device
        return torch.from_numpy(self.lengths).to(device)[:, None] + torch.arange(n, device=device)

    def columns(self, n: int, heads: int) -> torch.Tensor:
        """Index the places of the next n tokens of each row, in buffers seen as (rows·heads·capacity, width):
        (rows·heads·n,).
        """
        keys = self._layers[0][0]
        rows, capacity = keys.shape[0], keys.shape[2]
        # head h of row r begins at (r·heads + h)·capacity; its next token goes as far behind that as the row is long
        starts = np.arange(rows * heads) * capacity + np.repeat(self.lengths, heads)  # (rows·heads,)
        return torch.from_numpy((starts[:, None] + np.arange(n)).reshape(-1)).to(keys.device)

    def write(
        self, layer: int, keys: torch.Tensor, values: torch.Tensor, columns: torch.Tensor, length: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Put new states, (rows, heads, n, width), in their columns; returns the first `length` of each row."""
        for held, new in zip(self._layers[layer], (keys, values), strict=True):
            held.view(-1, held.shape[3]).index_copy_(0, columns, new.reshape(-1, held.shape[3]))
        held_keys, held_values = self._layers[layer]
        return held_keys[:, :, :length], held_values[:, :, :length]

    def part(self, rows: NDArray[np.int64]) -> RaggedCache:
        """A cache of its own with these rows, in this order, and the room that they have here."""
        index = torch.from_numpy(rows).to(self._layers[0][0].device)
        layers = [(keys.index_select(0, index), values.index_select(0, index)) for keys, values in self._layers]
        return RaggedCache(layers, self.lengths[rows])

    def parts(self, tokens: Sequence[tuple[slice, torch.Tensor]]) -> list[Part]:
        """Parts of a pass: the rows of some places, and the next n tokens of each, (rows, n).

        They share the buffers, which have room for these tokens: what is written to a part is written here.
        """
        self.reserve(max(of.shape[1] for _, of in tokens))
        return [Part(of, self._places(where)) for where, of in tokens]

    def _places(self, which: slice) -> RaggedCache:
        return RaggedCache([(keys[which], values[which]) for keys, values in self._layers], self.lengths[which])

    def arrange(self, groups: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        """Put the rows of each group side by side, one group after the other, and let go of all others.

        Rows that are in a place of their group stay there, so that hardly anything is copied.

        Returns:
            Of each place that is left, the row that is there now: the groups, each in another order.
        """
        group = np.full(len(self.lengths), -1)  # of each row
        for number, rows in enumerate(groups):
            group[rows] = number
        wanted = np.repeat(np.arange(len(groups)), [len(rows) for rows in groups])  # of each place that is left
        order = np.arange(len(wanted))
        away = order[group[order] != wanted]
        if away.size:
            at_home = np.zeros(len(self.lengths), dtype=np.bool_)
            at_home[np.setdiff1d(order, away)] = True
            for number, rows in enumerate(groups):
                order[away[wanted[away] == number]] = np.sort(rows[~at_home[rows]])
            to, moved = (torch.from_numpy(places).to(self._layers[0][0].device) for places in (away, order[away]))
            for held in (states[:, :, : self._used] for layer in self._layers for states in layer):
                # not a row's own columns alone: what a broken one left there may be NaN
                held.index_copy_(0, to, held.index_select(0, moved))
        n = len(order)
        self._layers = [(keys[:n], values[:n]) for keys, values in self._layers]
        self.lengths = self.lengths[order]
        return order

    @classmethod
    def joined(cls, caches: Sequence[RaggedCache]) -> RaggedCache:
        """The rows of several caches, one after the other, with the room of the widest."""
        capacity = max(cache._layers[0][0].shape[2] for cache in caches)

        def stacked(layer: int, side: int) -> torch.Tensor:
            return torch.cat([_widened(c._layers[layer][side], capacity) for c in caches])

        layers = [(stacked(i, 0), stacked(i, 1)) for i in range(len(caches[0]._layers))]
        return cls(layers, np.concatenate([cache.lengths for cache in caches]))


class Part(NamedTuple):
    """Rows of a pass that take equally many tokens of it."""

    tokens: torch.Tensor
    """The next n tokens of each row, (rows, n)."""
    cache: RaggedCache
    """What the rows hold. The tokens are written to it; its lengths stay, so that the caller says how many count."""


def _widened(states: torch.Tensor, capacity: int) -> torch.Tensor:
    """States with that many columns, at least as many as they had."""
    more = capacity - states.shape[2]
    return functional.pad(states, (0, 0, 0, more)) if more else states
