"""Gaussian noise that is the same everywhere: addressable inside a tensor, whatever the order, sharding or device.

A tensor's noise is cut into blocks of 65,536 elements; block k is drawn by numpy's Philox with its own counter under
a key made of (version, seed, direction index, canonical name). So any rows of any tensor can be drawn alone, in any
order, on any machine. Not a security device, and not torch's generator, which promises no equal numbers across
releases.

Version 2 is integers and one look-up: each 64-bit word of Philox is four indices into a table of 65,536 quantiles of
the normal distribution, so that `philox` draws the same bits on an accelerator. Version 1 takes numpy's normals, which
numpy keeps within a release line only; it is kept for the studies that were drawn by it.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK", "VERSIONS", "elements", "key_words", "least_chosen", "quantiles"]

VERSIONS = (1, 2)
"""Versions of this algorithm that can be drawn; part of a direction's content key. Golden digests in the tests hold
them, and `records.NOISE_VERSION` is the one of new studies.
"""

BLOCK = 65_536
"""Elements per block."""

_WORTH_A_THREAD = BLOCK
"""Elements that it pays to draw in a thread of their own."""

_Fill = Callable[[NDArray[np.uint64], int, int, NDArray[np.float32], float], None]
"""Fills an array with the elements of one block: key, number of the block, first element in it, array, density."""


def elements(
    seed: int,
    index: int,
    name: str,
    start: int,
    stop: int,
    *,
    version: int,
    density: float = 1.0,
    threads: int = 1,
) -> NDArray[np.float32]:
    """Elements `start:stop` of the flattened noise of a tensor, as a new float32 array.

    Sparse noise is the same noise with 0 where it does not move: the block's own stream goes on, and draws for each
    element whether it is among them.

    Args:
        seed: seed of the direction, ≥ 0.
        index: which of the independent directions of this seed.
        name: canonical name of the tensor.
        start: first element.
        stop: one past the last element.
        version: one of `VERSIONS`.
        density: the share of elements that are drawn at all, each with this probability.
        threads: how many threads may draw; the numbers do not depend on it.
    """
    out = np.empty(stop - start, dtype=np.float32)
    key = np.array(key_words(version, seed, index, name), dtype=np.uint64)
    fill, unit = _WAYS[version]

    def draw(low: int, high: int) -> None:
        for number in range(low // BLOCK, -(-high // BLOCK)):
            first, last = max(low, number * BLOCK), min(high, (number + 1) * BLOCK)
            fill(key, number, first - number * BLOCK, out[first - start : last - start], density)

    n_parts = max(1, min(threads, (stop - start) // _WORTH_A_THREAD))
    cuts = [start, *(start + (stop - start) * i // n_parts // unit * unit for i in range(1, n_parts)), stop]
    own, *others = [(low, high) for low, high in pairwise(cuts) if low < high] or [(start, start)]
    waiting = [_pool(os.getpid(), threads).submit(draw, *part) for part in others]
    draw(*own)
    for part in waiting:
        part.result()
    return out


@lru_cache(maxsize=1)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads that draw beside the caller's, of this process: those of another do not live on in its fork."""
    return ThreadPoolExecutor(threads - 1, thread_name_prefix="noise")


def key_words(version: int, seed: int, index: int, name: str) -> tuple[int, int]:
    """The two words of the key of a tensor's noise."""
    digest = hashlib.sha256(f"safebasin noise {version}\0{seed}\0{index}\0{name}".encode()).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")


def _philox(key: NDArray[np.uint64], number: int, first: int = 0) -> np.random.Philox:
    """The generator of a block. The counter has 256 bits; its third word numbers the blocks, so no streams ever meet.

    Args:
        key: of the tensor.
        number: which block.
        first: how many counters are left out, each of four words.
    """
    return np.random.Philox(key=key, counter=np.array([first, 0, number, 0], dtype=np.uint64))


# --- version 1: numpy's normals ---------------------------------------------------------------------------------------


def _normals(key: NDArray[np.uint64], number: int, first: int, out: NDArray[np.float32], density: float) -> None:
    """By the ziggurat, which takes now one word and now two: a block can only be drawn from its start."""
    stream = np.random.Generator(_philox(key, number))
    drawn = stream.standard_normal(BLOCK, dtype=np.float32)
    if density < 1:
        drawn[stream.random(BLOCK, dtype=np.float32) >= density] = 0
    out[:] = drawn[first : first + out.size]


# --- version 2: integers and a table ----------------------------------------------------------------------------------


@cache
def quantiles() -> NDArray[np.float32]:
    """Φ⁻¹((i + ½) / 65,536) in float32, the table of version 2, never to be written to.

    Variance 0.99998, kurtosis 2.9992, no value beyond ±4.325. The same bits on any platform: no value lies nearer than
    10⁻¹² of itself to where float32 rounds the other way, a thousand times what `ndtri` may be off, and the upper half
    is the lower one with its sign turned.
    """
    from scipy.special import ndtri

    lower = ndtri((np.arange(BLOCK // 2) + 0.5) / BLOCK).astype(np.float32)
    table = np.concatenate([lower, -lower[::-1]])
    table.flags.writeable = False
    return table


def least_chosen(density: float) -> int:
    """The first 32-bit number by which an element does not move: exact, since only the exponent of a double changes."""
    return math.ceil(density * 2**32)


def _looked_up(key: NDArray[np.uint64], number: int, first: int, out: NDArray[np.float32], density: float) -> None:
    """Element e of a block is the quantile of the e-th 16 bits of its words, the low ones of a word first.

    The words after these hold 32 bits for each element, by which a sparse one is chosen.
    """
    last, skipped = first + out.size, first // 16  # a counter is four words, or 16 elements
    words = _philox(key, number, skipped).random_raw(4 * (-(-last // 16) - skipped))
    indices = words.astype("<u8", copy=False).view("<u2")[first - 16 * skipped : last - 16 * skipped]
    np.take(quantiles(), indices, out=out, mode="clip")  # no index is out of range; `clip` spares a copy
    if density < 1:
        skipped = first // 8
        words = _philox(key, number, BLOCK // 16 + skipped).random_raw(4 * (-(-last // 8) - skipped))
        chosen = words.astype("<u8", copy=False).view("<u4")[first - 8 * skipped : last - 8 * skipped]
        out[chosen >= least_chosen(density)] = 0


_WAYS: dict[int, tuple[_Fill, int]] = {1: (_normals, BLOCK), 2: (_looked_up, 16)}
"""Each version's way to fill part of a block, and the multiple of elements at which a range is cut for threads."""
