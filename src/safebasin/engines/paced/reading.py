"""Reading prompts before they are answered: what all of them begin with once, the rest in batches of like lengths.

A system prompt and what a chat template writes before the request are the same for all. In a basin, where answers end
at their first sentence, most of the tokens of a point are those of its prompts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from safebasin.engines.paced.passes import READ_TOKENS, Pass
from safebasin.engines.ragged import RaggedCache

__all__ = ["read", "shared"]

PADDED = 0.1
"""Padding that a batch may hold, as a share of its tokens."""
_WORTH = 8
"""Fewest tokens in common for which a pass of their own is made."""


def read(forward: Pass, prompts: Sequence[Sequence[int]]) -> RaggedCache:
    """Keys and values of all but the last token of each prompt; that one is what decoding begins with.

    Args:
        forward: the forward pass.
        prompts: token ids, none empty.
    """
    states = [prompt[:-1] for prompt in prompts]
    # 1) What all of them begin with, as one row
    n_shared = shared(states)
    common = forward.empty_cache(1)
    if n_shared:
        _feed(forward, common, [states[0][:n_shared]])
    # 2) The rest of each behind it, shorter ones first
    order = sorted(range(len(states)), key=lambda row: len(states[row]))
    parts: list[RaggedCache] = []
    for rows in _groups([len(states[row]) - n_shared for row in order]):
        part = common.part(np.zeros(len(rows), dtype=np.int64))
        _feed(forward, part, [states[order[at]][n_shared:] for at in rows])
        parts.append(part)
    # 3) In the order given
    return RaggedCache.joined(parts).part(np.argsort(order))


def shared(states: Sequence[Sequence[int]]) -> int:
    """Count the tokens that all rows begin with; 0 where they are too few to be worth a pass, or of one row."""
    if len(states) < 2:
        return 0
    least, most = (
        min(map(tuple, states)),
        max(map(tuple, states)),
    )  # in the order of their tokens: what these two share, all share
    n = next((at for at, (a, b) in enumerate(zip(least, most, strict=False)) if a != b), min(len(least), len(most)))
    return n if n >= _WORTH else 0


def _groups(lengths: Sequence[int]) -> list[range]:
    """Consecutive rows, of lengths that never fall, each group within the limits of padding and of one pass."""
    groups: list[range] = []
    start = 0
    for at in range(1, len(lengths) + 1):
        if at < len(lengths):
            area = (at - start + 1) * lengths[at]
            n_padding = area - sum(lengths[start : at + 1])
            if area <= READ_TOKENS and n_padding <= PADDED * area:
                continue
        groups.append(range(start, at))
        start = at
    return groups


def _feed(forward: Pass, cache: RaggedCache, rows: Sequence[Sequence[int]]) -> None:
    """Append each row's tokens to the cache, which grows by them; padding at the right stays behind a row's end."""
    lengths = np.asarray([len(row) for row in rows], dtype=np.int64)
    tokens = np.zeros((len(rows), int(lengths.max())), dtype=np.int64)
    for at, row in enumerate(rows):
        tokens[at, : len(row)] = row
    step = max(READ_TOKENS // len(rows), 1)
    for start in range(0, tokens.shape[1], step):
        piece = tokens[:, start : start + step]
        forward.read(torch.from_numpy(piece).to(forward.device), cache)
        cache.lengths = cache.lengths + np.clip(lengths - start, 0, piece.shape[1])
