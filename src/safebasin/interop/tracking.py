"""What a tracker is told of a run: how far it is, then every point and statistic; of a training, its losses.

A tracker that fails is left.

A point's rates are there once its responses are judged, which is after decoding: until then it is told how far that is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from safebasin.interop.trackers import Tracker, open_tracker
from safebasin.landscape.points import AXES
from safebasin.records import Estimate, Landscape, Panel
from safebasin.run.progress import ProgressHook, Tick

if TYPE_CHECKING:
    from safebasin.audit import AuditVerdict

__all__ = ["Tracked", "tracked"]

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Tracked:
    """A run that is told to a tracker, or to none. What the tracker raises is a warning, once; the run goes on."""

    tracker: Tracker | None
    name: str = ""
    _points: int = field(default=-1, repr=False)

    def hook(self, shown: ProgressHook) -> ProgressHook:
        """Tell how far decoding is, point by point, besides showing it."""

        def told(tick: Tick) -> None:
            shown(tick)
            if tick.stage == "generate" and tick.point > self._points:
                self._points = tick.point
                pace = {"progress/tokens_per_s": tick.tokens / tick.seconds} if tick.tokens and tick.seconds else {}
                done = {"progress/points": tick.point, "progress/responses": tick.done}
                self.log({**done, **pace}, tick.point)

        return told if self.tracker is not None else shown

    def training(self, shown: Callable[[int, int, float], None] | None) -> Callable[[int, int, float], None] | None:
        """Tell the loss of each step of a training, besides showing it."""

        def told(step: int, steps: int, loss: float) -> None:
            if shown is not None:
                shown(step, steps, loss)
            self.log({"train/loss": loss}, step)

        return told if self.tracker is not None else shown

    def held_out(self, shown: Callable[[int, float], None] | None) -> Callable[[int, float], None] | None:
        """Tell the loss on held-out rows, besides showing it."""

        def told(step: int, loss: float) -> None:
            if shown is not None:
                shown(step, loss)
            self.log({"eval/loss": loss}, step)

        return told if self.tracker is not None else shown

    def landscape(self, landscape: Landscape) -> None:
        """Tell the points of every panel, a step each, and its statistics with their bounds, after the last."""
        for panel in landscape.panels:
            prefix = _prefix(panel) if len(landscape.panels) > 1 else ""
            for step, cell in enumerate(panel.points):
                rates = {f"{prefix}asr/{judge}": rate.value for judge, rate in cell.asr.items()}
                where = {f"{prefix}{axis}": at for axis, at in zip(AXES, cell.coords, strict=False)}
                self.log({**where, f"{prefix}direction": cell.direction, **rates}, step)
            bounds = {k: v for name, one in panel.summary.items() for k, v in _bounds(f"{prefix}{name}", one).items()}
            self.log(bounds, len(panel.points))

    def verdict(self, verdict: AuditVerdict) -> None:
        """Tell what an audit compared, a step a condition: before, after, how much worse, its bounds and its limit."""
        for step, condition in enumerate(verdict.conditions):
            for metric in condition.metrics:
                base, tuned = f"base/{metric.name}", f"tuned/{metric.name}"
                self.log(
                    {
                        base: metric.base.value, tuned: metric.tuned.value, f"limit/{metric.name}": metric.limit,
                        **_bounds(f"worse/{metric.name}", metric.difference),
                    },
                    step,
                )  # fmt: skip
        self.log({"exit_code": verdict.exit_code}, 0)

    def log(self, numbers: Mapping[str, float | None], step: int) -> None:
        """Tell numbers, without those that are undefined."""
        known = {name: float(value) for name, value in numbers.items() if value is not None}
        if self.tracker is None or not known:
            return
        try:
            self.tracker.log(known, step)
        except Exception as error:  # whatever it raises, what is measured is kept
            self._leave(error)

    def close(self, *, failed: bool) -> None:
        """End the run of the tracker."""
        if self.tracker is None:
            return
        try:
            self.tracker.close(failed=failed)
        except Exception as error:
            self._leave(error)

    def _leave(self, error: Exception) -> None:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        _log.warning("%s failed and is told nothing more; what is measured is kept (%s)", self.name, said)
        self.tracker = None


@contextmanager
def tracked(tracker: str | None, folder: Path, settings: Mapping[str, object]) -> Generator[Tracked]:
    """Tell a tracker of the run in this block; nothing where none is named.

    Args:
        tracker: its name, or None.
        folder: of the run, whose name the tracker's run gets.
        settings: what is run.

    Raises:
        UsageError: before the block begins, where the tracker is not installed or cannot be reached.
    """
    if tracker is None:
        yield Tracked(None)
        return
    plain = {key: str(value) for key, value in settings.items() if value is not None}
    run = Tracked(open_tracker(tracker, folder.resolve().name, plain), tracker)
    try:
        yield run
    except BaseException:
        run.close(failed=True)
        raise
    run.close(failed=False)


def _prefix(panel: Panel) -> str:
    return f"{panel.region.name}/{panel.prompts}/{panel.system}/"


def _bounds(name: str, estimate: Estimate) -> dict[str, float | None]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
