"""A share of a plan's points, for machines that know nothing of each other, as the tasks of a Slurm array do. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from safebasin.errors import StudyError, expected

__all__ = ["Shard", "parse_shard"]

Item = TypeVar("Item")
MOST_SHARDS = 10_000


@dataclass(frozen=True, slots=True)
class Shard:
    """The `number`-th of `of` shares, counted from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def share(self, points: Sequence[Item]) -> tuple[Item, ...]:
        """Take its share of some points: neighbors, so that few shards draw the noise of one direction.

        The shares of all shards are the points, each once, and differ by at most one in size.
        """
        start, stop = (len(points) * n // self.of for n in (self.number - 1, self.number))
        return tuple(points[start:stop])


def parse_shard(text: str) -> Shard:
    """A shard as it is written, `2/4`.

    Raises:
        StudyError: where it is something else.
    """
    found = re.fullmatch(r"(\d{1,5})/(\d{1,5})", text.strip())
    number, of = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= of <= MOST_SHARDS:
        constraint = f"I/N with 1 ≤ I ≤ N ≤ {MOST_SHARDS:,}"
        raise StudyError(expected("--shard", constraint, text, "E.g. --shard 2/4, or $SLURM_ARRAY_TASK_ID/4."))
    return Shard(number, of)
