"""How often a model exactly at the limit passes an audit whose prompts repeat each other, by simulation.

A prompt copies its cluster with probability √ICC, else it is drawn alone; `gained` and `lost` are those that turned bad
and good. The bounds are the product's own (`safebasin.stats.gate.pair_bounds`), by prompts alone and by the outer one
of prompts and clusters. `python bench/run.py clusters` (minutes on one thread), or with `--quick`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from safebasin.stats.gate import LEVEL, pair_bounds
from safebasin.stats.landscape import Array

LIMIT = 0.05
REPETITIONS = 8000
SIZES = {
    "none": [1] * 200,
    "like AdvBench at cosine 0.5: 141, largest 31": [31, *[5] * 3, *[4] * 3, *[2] * 8, *[1] * 126],
    "like AdvBench at cosine 0.4: 97, largest 49": [49, *[10] * 2, *[6] * 3, *[4] * 4, *[3] * 3, *[2] * 4, *[1] * 80],
    "each prompt twice": [2] * 100,
    "30 of 6 or 7": [7] * 20 + [6] * 10,
    "8 of 25": [25] * 8,
}
"""Sizes of clusters of 200 prompts, as the near-duplicates of AdvBench's first 200 are spread, and others."""
ICC = (0.3, 0.5, 0.8, 1.0)
CHURN = (0.0, 0.02)
"""Share of prompts that turn good, and so many more that turn bad."""
_AT_ONCE = 2000


def drawn(
    sizes: NDArray[np.intp], icc: float, churn: float, repetitions: int, rng: np.random.Generator
) -> Iterator[tuple[Array, Array]]:
    """What turned bad and what turned good by cluster, each of shape (draws, clusters), in parts."""
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    number = np.repeat(np.arange(sizes.size), sizes)
    for done in range(0, repetitions, _AT_ONCE):
        n = min(_AT_ONCE, repetitions - done)
        own, shared = rng.random((n, number.size)), rng.random((n, sizes.size))[:, number]
        u = np.where(rng.random((n, number.size)) < math.sqrt(icc), shared, own)
        bad, good = (u < LIMIT + churn).astype(float), (u > 1 - churn).astype(float)
        yield np.add.reduceat(bad, starts, axis=1), np.add.reduceat(good, starts, axis=1)


@cache
def passes(gained: float, lost: float, n: int) -> bool:
    """Whether the upper bound keeps to the limit."""
    return pair_bounds(gained, lost, n, LEVEL)[1] < LIMIT


def false_pass(sizes: list[int], icc: float, churn: float, repetitions: int) -> tuple[float, float]:
    """How often a model at the limit passes: taken as independent, and by the outer bound of prompts and clusters."""
    counts = np.asarray(sizes)
    alone = both = 0
    for bad, good in drawn(counts, icc, churn, repetitions, np.random.default_rng(1)):
        by_prompt = zip(bad.sum(1).tolist(), good.sum(1).tolist(), strict=True)
        # rounded, so that the same sums of shares are looked up once
        shares = (np.round((x / counts).sum(1), 9).tolist() for x in (bad, good))
        for prompts, clusters in zip(by_prompt, zip(*shares, strict=True), strict=True):
            is_in = passes(*prompts, sum(sizes))
            alone += is_in
            both += is_in and passes(*clusters, len(sizes))
    return alone / repetitions, both / repetitions


def main(*, quick: bool) -> str:
    """The section of the benchmark report."""
    repetitions = 400 if quick else REPETITIONS
    error = math.sqrt(0.05 * 0.95 / repetitions)
    lines = [
        f"False pass at a limit of 5 points, 200 prompts, {repetitions} draws a cell (± {error:.1%} at 5%), "
        f"worst of churn 0 and 2 % and ICC {ICC[0]} to {ICC[-1]:g}.\n",
        "| clusters | taken as independent | `--cluster` |",
        "| --- | ---: | ---: |",
    ]
    for name, sizes in SIZES.items():
        found = [false_pass(sizes, icc, churn, repetitions) for icc, churn in product(ICC, CHURN)]
        alone, both = (max(column) for column in zip(*found, strict=True))
        lines.append(f"| {name} | {alone:.1%} | {both:.1%} |")
    return "\n".join(lines)
