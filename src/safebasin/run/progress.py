"""How far a run has come, as data. Showing it is the caller's business."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """One step of progress."""

    stage: Literal["load", "calibrate", "generate", "score", "measure", "judge"]
    done: int
    """Responses (in `measure`, of perplexity and tasks: points) done in this stage, earlier sessions included."""
    total: int
    """Responses the stage will have done at its end."""
    point: int = 0
    """Points completed, in the stage `generate`."""
    points: int = 0
    tokens: int = 0
    """New tokens decoded since the run began."""
    seconds: float = 0.0
    """Since the stage began."""
    fresh: int = 0
    """Responses done in this session: what the estimate of the remaining time goes by."""

    @property
    def remaining_s(self) -> float | None:
        """Estimated seconds until the stage ends, by the pace of this session; None while unknown."""
        if not self.fresh or self.seconds <= 0:
            return None
        return (self.total - self.done) * self.seconds / self.fresh


ProgressHook = Callable[[Tick], None]


def silent(_: Tick) -> None:
    """A hook that shows nothing."""
