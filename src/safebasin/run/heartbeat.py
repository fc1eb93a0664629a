"""A sign of life: a small file in the folder of a study that says how far its run is, for people and for the viewer.

It is written at most every ten seconds, by the process that measures, and taken away when that ends: one that is left
behind is of a process that was killed. Nothing that is measured depends on it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from safebasin.errors import StoreError
from safebasin.run.progress import ProgressHook, Tick
from safebasin.writing import write_text

__all__ = ["HEARTBEAT", "beating"]

HEARTBEAT = "heartbeat.json"
PAUSE_S = 10.0


@contextmanager
def beating(folder: Path, progress: ProgressHook) -> Generator[ProgressHook]:
    """The hook to call meanwhile: it passes ticks on and keeps `heartbeat.json`, which is gone after the block.

    Args:
        folder: the study; it is there.
        progress: told of every tick.
    """
    path, last = folder / HEARTBEAT, -PAUSE_S

    def beat(tick: Tick) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PAUSE_S:
            last = now
            with suppress(StoreError):  # a full disk ends the run where something is lost by it
                write_text(path, json.dumps(_said(tick)) + "\n")
        progress(tick)

    try:
        yield beat
    finally:
        path.unlink(missing_ok=True)


def _said(tick: Tick) -> dict[str, object]:
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "pid": os.getpid(),
        "state": tick.stage,
        "done": tick.done,
        "planned": tick.total,
        "tokens_per_s": round(tick.tokens / tick.seconds, 1) if tick.seconds > 0 else 0.0,
    }
