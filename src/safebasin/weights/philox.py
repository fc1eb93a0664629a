"""Noise of version 2 on any device of torch: Philox4x64-10 in integer arithmetic, and the table of `noise`.

The words are numpy's (`numpy.random.Philox`; Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), so an
accelerator draws the bits that a CPU draws, by construction: integers and one look-up, no floating-point operation.
torch has no unsigned 64-bit arithmetic everywhere; signed numbers wrap to the same bits. A kernel that does the same in
one pass is in `triton_kernels`; `accelerated` says which of the two draws.
"""

from __future__ import annotations

from functools import lru_cache

import torch

from safebasin.weights.noise import BLOCK, key_words, least_chosen, quantiles

__all__ = ["VERSION", "elements", "table", "words"]

VERSION = 2
"""Of the noise that is drawn here."""

_ROUNDS = 10
_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_LOW = 0xFFFFFFFF


def elements(
    seed: int, index: int, name: str, start: int, stop: int, *, device: torch.device, density: float = 1.0
) -> torch.Tensor:
    """Elements `start:stop` of the flattened noise of a tensor, float32 on a device: bit for bit `noise.elements`.

    Args:
        seed: seed of the direction, ≥ 0.
        index: which of the independent directions of this seed.
        name: canonical name of the tensor.
        start: first element.
        stop: one past the last element.
        device: where.
        density: the share of elements that are drawn at all.
    """
    key = key_words(VERSION, seed, index, name)
    bits = _bits(key, start, stop, width=16, device=device)
    drawn = table(device).index_select(0, bits)
    if density < 1:
        bits = _bits(key, start, stop, width=32, device=device, after=BLOCK // 16)
        drawn.masked_fill_(bits >= least_chosen(density), 0)
    return drawn


@lru_cache(maxsize=8)
def table(device: torch.device) -> torch.Tensor:
    """The quantiles of `noise` on a device, never to be written to."""
    return torch.from_numpy(quantiles().copy()).to(device)


def _bits(
    key: tuple[int, int], start: int, stop: int, *, width: int, device: torch.device, after: int = 0
) -> torch.Tensor:
    """The bits of each element as a number: int32 where they are 16, int64 where they are 32.

    Args:
        key: of the tensor.
        start: first element.
        stop: one past the last element.
        width: bits an element.
        device: where.
        after: how many counters of each block come before.
    """
    each = 256 // width  # elements that one counter gives
    first, last = start // each, -(-stop // each)
    group = torch.arange(first, last, device=device)
    per_block = BLOCK // each
    found = words(key, group % per_block + (after + 1), group // per_block)  # numpy counts up before it draws
    if width == 16:
        numbers = found.view(torch.int16).to(torch.int32).bitwise_and_(0xFFFF)
    else:
        numbers = found.view(torch.int32).to(torch.int64).bitwise_and_(_LOW)
    return numbers.reshape(-1)[start - first * each : stop - first * each]


def words(key: tuple[int, int], low: torch.Tensor, block: torch.Tensor) -> torch.Tensor:
    """The four 64-bit words of each counter [low, 0, block, 0], as int64 of the same bits, shape (n, 4).

    Args:
        key: two words.
        low: (n,), int64.
        block: (n,), int64.
    """
    zero = torch.zeros_like(low)
    c0, c1, c2, c3 = low, zero, block, zero
    k0, k1 = key
    for _ in range(_ROUNDS):
        high0, low0 = _product(c0, _MULTIPLIERS[0])
        high1, low1 = _product(c2, _MULTIPLIERS[1])
        c0, c1, c2, c3 = high1 ^ c1 ^ _signed(k0), low1, high0 ^ c3 ^ _signed(k1), low0
        k0, k1 = (k0 + _WEYL[0]) % 2**64, (k1 + _WEYL[1]) % 2**64
    return torch.stack([c0, c1, c2, c3], dim=1)


def _product(a: torch.Tensor, b: int) -> tuple[torch.Tensor, torch.Tensor]:
    """High and low word of the product of unsigned 64-bit numbers, from halves of 32 bits."""
    a0, a1 = a & _LOW, (a >> 32) & _LOW
    b0, b1 = b & _LOW, b >> 32
    across, other = a0 * b1, a1 * b0
    carried = (((a0 * b0) >> 32) & _LOW) + (across & _LOW) + (other & _LOW)  # below 3 · 2³²
    high = a1 * b1 + ((across >> 32) & _LOW) + ((other >> 32) & _LOW) + (carried >> 32)
    return high, a * _signed(b)


def _signed(word: int) -> int:
    return word - 2**64 if word >= 2**63 else word
