"""Tokens → operations and bytes. Arithmetic alone: no disk, no model, no clock.

Operations are counted as usual: 2 a parameter and token, and for attention 4 · layers · heads · head width a token and
token before it (products with keys and with values). What transformers spends beside them is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from safebasin.models.sizes import ITEMSIZE, ModelSizes
from safebasin.run.pricing.records import Lengths, Work

__all__ = ["DRAWN", "Load", "cache_bytes", "decode_flops", "pass_bytes", "read_flops", "work_of"]

DRAWN = 10
"""A direction's first point costs this many of the next: it is drawn, and norms are taken (docs/performance.md)."""
READ_AT_ONCE = 8192
"""Tokens of prompts that a pass reads (`engines.paced.passes`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The amount of everything that is left of a plan."""

    points: int
    """To go to, the origin left out."""
    directions: int
    """That are drawn anew on the way."""
    axes: int
    """Directions of a point."""
    batches: int
    rows: int
    """Answers."""
    scored: float
    """Share of the decoded tokens that is scored at θ₀."""
    asked: int
    """Prompts that are read once more for it."""
    calibration: int
    """Tokens that calibrating the test of language reads, and …"""
    own: int
    """… that it decodes, in a batch of a dozen."""


def attention_flops(sizes: ModelSizes, tokens: float, before: float) -> float:
    """Of so many tokens, with so many before each."""
    return 4.0 * sizes.cache.layers * sizes.heads * sizes.cache.width * tokens * before


def read_flops(sizes: ModelSizes, tokens: float, length: float) -> float:
    """Of reading tokens of prompts of a length: no logits are computed."""
    return 2.0 * sizes.body * tokens + attention_flops(sizes, tokens, length / 2)


def decode_flops(sizes: ModelSizes, tokens: float, before: float) -> float:
    """Of tokens that are decoded, or scored, with so many before each."""
    return 2.0 * (sizes.body + sizes.head) * tokens + attention_flops(sizes, tokens, before)


def pass_bytes(sizes: ModelSizes, dtype: str) -> float:
    """Weights that a pass reads: all experts, since rows go to many."""
    return float(sizes.parameters * ITEMSIZE[dtype])


def cache_bytes(sizes: ModelSizes, dtype: str, tokens: float, before: float) -> float:
    """Of the cache, that so many decoded tokens read, with so many before each."""
    return sizes.cache.cache_bytes(1, ITEMSIZE[dtype]) * tokens * before


def work_of(sizes: ModelSizes, load: Load, lengths: Lengths, dtype: str) -> Work:
    """Tell what a load is in operations and bytes, where prompts and answers are of these lengths."""
    read = load.rows * lengths.prompt - (load.rows - load.batches) * lengths.shared
    decoded = load.rows * lengths.answer
    answered = load.scored * decoded
    scored = load.asked * lengths.prompt * (load.scored > 0) + answered + load.calibration
    before = lengths.prompt + lengths.answer / 2
    flops = (
        read_flops(sizes, read, lengths.prompt)
        + decode_flops(sizes, decoded + answered + load.own, before)
        + read_flops(sizes, scored - answered, lengths.prompt)
    )
    reading = 2 * load.batches * (read > 0) + (read + scored) / READ_AT_ONCE
    own_passes = load.own / 12
    passes = load.batches * lengths.passes + reading + own_passes
    itemsize = ITEMSIZE[dtype]
    setting = sizes.parameters * (2 * itemsize + 4 * load.axes) * (load.points + (DRAWN - 1) * load.directions)
    cache = cache_bytes(sizes, dtype, decoded + load.own, before)
    return Work(
        read_tokens=round(read),
        decoded_tokens=round(decoded),
        scored_tokens=round(scored),
        passes=ceil(passes),
        flops=flops,
        bytes_moved=passes * pass_bytes(sizes, dtype) + cache + setting,
    )
