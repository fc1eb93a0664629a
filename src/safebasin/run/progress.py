"""How far a run has come, as data and in words. Showing it is the caller's business."""

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


def describe(tick: Tick) -> str:
    """One line about a tick, e.g. `generate 640/4880 responses · 8/61 points · 5120 tokens/s · 42 s left`."""
    if tick.stage == "load":
        return "load     model"
    if tick.stage == "calibrate":
        return "calibrate test of language"
    noun = "points" if tick.stage == "measure" else "responses"
    parts = [f"{tick.stage:<8} {tick.done}/{tick.total} {noun}"]
    if tick.points:
        parts.append(f"{tick.point}/{tick.points} points")
    if tick.tokens and tick.seconds:
        parts.append(f"{tick.tokens / tick.seconds:.0f} tokens/s")
    if tick.remaining_s is not None and tick.done < tick.total:
        parts.append(f"{duration(tick.remaining_s)} left")
    return " · ".join(parts)


def duration(seconds: float) -> str:
    """Seconds for people: `42 s`, `3 min 10 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
