"""In fast mode: in which order the prompts of a set are asked, and after how many a point may be stopped. Pure.

The order is a permutation by content hash, the same at every point: what is asked of a set at a point is always the
first part of one order, a random sample without replacement.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from safebasin.records import content_hash
from safebasin.stats.sequences import fewest_to_decide

__all__ = ["FEWEST", "WIDTH", "ask_order", "stages"]

FEWEST = 64
"""Prompts of a set from which on points are stopped: of fewer hardly any would be left out."""
WIDTH = 0.1
"""A rate is known where its confidence sequence is no wider: ± 5 points."""
_GROWTH, _NEARLY_ALL = 1.5, 0.8
"""A stage over the one before; and the share of a set that is no stage, but asked to the end."""


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
    while (further := round(found[-1] * _GROWTH)) <= _NEARLY_ALL * size:
        found.append(further)
    return tuple(found)
