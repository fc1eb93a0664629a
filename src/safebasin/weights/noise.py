"""Gaussian noise that is the same everywhere: addressable inside a tensor, whatever the order, sharding or device.

A tensor's noise is cut into blocks of 65,536 elements; block k is drawn by numpy's Philox with its own counter under
a key made of (version, seed, direction index, canonical name). So any rows of any tensor can be drawn alone, in any
order, on any machine. Not a security device, and not torch's generator, which promises no equal numbers across
releases. numpy keeps Philox's bits for good and its normals within a release line: the golden digests of the tests
would notice a change, and it would be a new `NOISE_VERSION`.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock

import numpy as np
from numpy.typing import NDArray

NOISE_VERSION = 1
"""Version of this algorithm; part of a direction's content key. A golden digest in the tests holds it."""

BLOCK = 65_536
"""Elements per block."""

_WORTH_THREADS = 8
"""Blocks from which on it pays to draw them in several threads."""


def block(seed: int, index: int, name: str, number: int, density: float = 1.0) -> NDArray[np.float32]:
    """Block `number` of the noise of a tensor: 65,536 standard normal float32.

    Sparse noise is the same noise with 0 where it does not move: the block's own stream goes on, and draws for each
    element whether it is among them.

    Args:
        seed: seed of the direction, ≥ 0.
        index: which of the independent directions of this seed.
        name: canonical name of the tensor.
        number: which block, from 0.
        density: the share of elements that are drawn at all, each with this probability.
    """
    digest = hashlib.sha256(f"safebasin noise {NOISE_VERSION}\0{seed}\0{index}\0{name}".encode()).digest()
    key = np.frombuffer(digest[:16], dtype="<u8").astype(np.uint64)
    # The counter has 256 bits; its third word numbers the blocks, so no two streams can ever meet.
    bits = np.random.Philox(key=key, counter=np.array([0, 0, number, 0], dtype=np.uint64))
    stream = np.random.Generator(bits)
    drawn = stream.standard_normal(BLOCK, dtype=np.float32)
    if density < 1:
        drawn[stream.random(BLOCK, dtype=np.float32) >= density] = 0
    return drawn


class NoiseCache:
    """Keeps the first blocks that were drawn, up to a budget of bytes, so that a sweep along one line draws them once.

    Nothing is ever dropped: a sweep asks for all blocks in the same order again and again, and where they do not all
    fit, dropping the oldest would drop each one just before it is asked for.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget = budget_bytes
        self._held = 0
        self._lock = Lock()
        self._blocks: dict[tuple[int, int, str, int, float], NDArray[np.float32]] = {}

    def block(self, seed: int, index: int, name: str, number: int, density: float = 1.0) -> NDArray[np.float32]:
        """`noise.block`, remembered. The array is shared: never write to it."""
        key = (seed, index, name, number, density)
        if key in self._blocks:
            return self._blocks[key]
        drawn = block(*key)
        drawn.flags.writeable = False
        with self._lock:
            if self._held + drawn.nbytes <= self._budget:
                self._held += drawn.nbytes
                self._blocks[key] = drawn
        return drawn


def elements(
    seed: int,
    index: int,
    name: str,
    start: int,
    stop: int,
    *,
    density: float = 1.0,
    cache: NoiseCache | None = None,
    threads: int = 1,
) -> NDArray[np.float32]:
    """Elements `start:stop` of the flattened noise of a tensor, as a new float32 array.

    Args:
        seed: seed of the direction, ≥ 0.
        index: which of the independent directions of this seed.
        name: canonical name of the tensor.
        start: first element.
        stop: one past the last element.
        density: as of `block`.
        cache: where to look first.
        threads: how many threads may draw; the numbers do not depend on it.
    """
    out = np.empty(stop - start, dtype=np.float32)
    draw = partial(cache.block if cache is not None else block, seed, index, name, density=density)

    def fill(number: int) -> None:
        low, high = max(start, number * BLOCK), min(stop, (number + 1) * BLOCK)
        out[low - start : high - start] = draw(number)[low - number * BLOCK : high - number * BLOCK]

    numbers = range(start // BLOCK, -(-stop // BLOCK))
    if threads > 1 and len(numbers) >= _WORTH_THREADS:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(fill, numbers))
    else:
        for number in numbers:
            fill(number)
    return out
