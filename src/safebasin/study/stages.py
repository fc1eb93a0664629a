"""In fast mode: in which order the prompts of a set are asked, and after how many a point may be stopped. Pure.

The order is a permutation by content hash, the same at every point: what is asked of a set at a point is always the
first part of one order, a random sample without replacement.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from safebasin.records import content_hash
from safebasin.stats.sequences import confidence_set, fewest_to_decide

__all__ = ["FEWEST", "WIDTH", "ask_order", "further_stage", "stages"]

FEWEST = 129
"""Prompts of a set from which on points are stopped: as many as one batch holds are asked sooner in one than in two."""
WIDTH = 0.1
"""A rate is known where its confidence sequence is no wider: ± 5 points."""
_BATCH, _NEARLY_ALL = 128, 0.8
"""Prompts of the second stage, doubled for each further one: as batches hold so many, a set that is asked whole takes
one batch more than it would without stages; and the share of a set from which on all is asked."""


def ask_order(prompts: Iterable[str]) -> tuple[str, ...]:
    """The `Prompt.id`s of a set, each once, in the order in which they are asked."""
    return tuple(sorted(set(prompts), key=lambda key: content_hash(["fast", key])))


@lru_cache(maxsize=1024)
def stages(size: int) -> tuple[int, ...]:
    """After how many prompts of a set a point may be stopped, ascending; none where the set is small.

    The first is the fewest that decide anything: where all answers are alike.
    """
    if size < FEWEST:
        return ()
    found = [fewest_to_decide(size, WIDTH)]
    further = _BATCH
    while further <= _NEARLY_ALL * size:
        found.append(further)
        further *= 2
    return tuple(found)


def further_stage(size: int, n: int, rates: Iterable[float | None]) -> int | None:
    """The first stage after n at which rates would be known if they stayed as they are; None is all of the set.

    So that a point in the middle of a rim is asked whole at once, and not stage by stage.
    """
    known = list(rates)
    for count in stages(size):
        if count > n and all(rate is not None and _is_known(round(rate * count), count, size) for rate in known):
            return count
    return None


def _is_known(k: int, n: int, size: int) -> bool:
    low, high = confidence_set(k, n, size)
    return high - low <= WIDTH * size
