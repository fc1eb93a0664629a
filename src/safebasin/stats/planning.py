"""How likely a harmless tune passes the gate: by number of prompts and churn, enumerated exactly. Pure.

A tune that is no worse still changes answers. At a churn of c each way every prompt turns bad with probability c and
good with probability c, so the true difference is 0; what is asked is how often the upper bound stays below the limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from safebasin.errors import StudyError, expected
from safebasin.stats.gate import LEVEL, pair_bounds
from safebasin.stats.landscape import Array

__all__ = ["CHURNS", "SIZES", "pass_probability", "passes_all", "sample_size_table"]

SIZES = (59, 80, 100, 200, 400, 520)
CHURNS = (0.0, 0.01, 0.02, 0.05)
DEFAULT_METRICS = 4
_NEGLIGIBLE = 1e-12


@cache
def pass_probability(n: int, churn: float, *, limit: float = 0.05, level: float = LEVEL) -> float:
    """The probability that one metric passes, of models that are equally good.

    Args:
        n: independent prompts, ≥ 1.
        churn: share of prompts that turn bad, and that turn good; at most one half.
        limit: the non-inferiority margin.
        level: of the bound.
    """
    if n < 1 or not 0 <= churn <= 0.5:
        raise StudyError(expected("prompts and churn", "n ≥ 1, churn from 0 to 0.5", (n, churn), "E.g. 200 and 0.02."))
    if churn == 0:
        return float(_passes(0, 0, n, limit, level))
    total, most = 0.0, -1
    # (gained, lost) is multinomial: lost is binomial, and gained given lost is binomial too.
    for lost, chance in enumerate(_binomial(n, churn)):
        if chance > _NEGLIGIBLE:
            most = _most_gained(most, n, lost, limit, level)
            total += chance * float(_binomial(n - lost, churn / (1 - churn))[: most + 1].sum())
    return min(1.0, total)


def _binomial(n: int, p: float) -> Array:
    """Probabilities of 0 … n successes, for 0 < p < 1 or p = 1."""
    if p >= 1:
        return np.eye(n + 1)[n]
    k = np.arange(n + 1)
    factorials = _log_factorials(1 << n.bit_length())
    ways = factorials[n] - factorials[: n + 1] - factorials[n::-1]
    return np.exp(ways + k * math.log(p) + (n - k) * math.log1p(-p))


@cache
def _log_factorials(n: int) -> Array:
    """Of 0 … n."""
    return np.asarray([math.lgamma(i + 1) for i in range(n + 1)])


def _most_gained(known: int, n: int, lost: int, limit: float, level: float) -> int:
    """The most prompts that may turn bad, so many having turned good, for the bound to stay below the limit; −1: none.

    The bound grows with every prompt that turns bad, and falls with every one that turns good.

    Args:
        known: as many may, for fewer have that turned good; −1 if nothing is known.
        n: prompts.
        lost: those that turned good.
        limit: as in `pass_probability`, like the level.
        level: of the bound.
    """
    low, step = known, 1
    while low + step <= n - lost and _passes(low + step, lost, n, limit, level):
        low, step = low + step, 2 * step
    high = min(low + step, n - lost + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _passes(middle, lost, n, limit, level) else (low, middle)
    return low


@cache
def _passes(gained: int, lost: int, n: int, limit: float, level: float) -> bool:
    return pair_bounds(gained, lost, n, level)[1] < limit


def passes_all(sizes: Sequence[int], churn: float, *, limits: Sequence[float], level: float = LEVEL) -> float:
    """The probability that metrics pass together, taken as independent: of such that move together it is a lower bound.

    Args:
        sizes: prompts of each metric.
        churn: as in `pass_probability`, of each.
        limits: of each.
        level: of each bound.
    """
    chances = [pass_probability(n, churn, limit=x, level=level) for n, x in zip(sizes, limits, strict=True)]
    return float(np.prod(chances))


def sample_size_table(
    sizes: Sequence[int] = SIZES, churns: Sequence[float] = CHURNS, *, metrics: int = DEFAULT_METRICS
) -> dict[float, tuple[float, ...]]:
    """The table of docs/audit.md: churn → the probability that all default metrics pass, for each size."""
    return {c: tuple(passes_all([n] * metrics, c, limits=[0.05] * metrics) for n in sizes) for c in churns}
