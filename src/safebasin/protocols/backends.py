"""The seam of running: batches as jobs, and what runs them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from safebasin.records import Point, Response


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One batch to decode: a point, a system prompt, and the prompts of the batch in order."""

    point: Point
    system: str
    """`System.id`."""
    prompts: tuple[str, ...]
    """`Prompt.id`s, in batch order."""
    batch: int
    """Number of the batch in the plan: a pure function of the plan, never of what is left to do."""


class Backend(Protocol):
    """Runs jobs and yields their responses batch by batch, in any order. Twice is fine: writes are idempotent."""

    def run(self, jobs: Sequence[Job]) -> Iterable[tuple[Job, tuple[Response, ...]]]: ...
