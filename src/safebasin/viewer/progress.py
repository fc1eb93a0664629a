"""How far a study has come, while it runs and after: by its heartbeat, where it writes one, and its rows."""

from __future__ import annotations

import json
import math
import os
import socket
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from safebasin.errors import SafebasinError, UsageError
from safebasin.landscape.stored import StoredStudy
from safebasin.run.heartbeat import HEARTBEAT
from safebasin.untrusted import read_json, read_text
from safebasin.viewer.stamps import Stamp, stamp_of

__all__ = ["Counted", "Progress", "State", "as_json", "heartbeat_words", "read_heartbeat", "read_progress", "state_of"]

WRITER = ".writer.json"
STALE_S = 120.0
"""A heartbeat that is older than this is of a process that was killed, or of a machine that stands still."""

PATIENCE = 20
"""Rows are counted anew after this many times as long as counting took."""

State = Literal["running", "stopped", "complete", "incomplete", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Progress of a study."""

    state: State
    done: int
    """Responses that are there."""
    planned: int
    missing: tuple[str, ...]
    """What is not there, in words."""
    heartbeat: str
    """What the process that writes said last, in words; empty where it says nothing."""

    @property
    def share(self) -> float:
        """Responses that are there, of those that are planned."""
        return self.done / self.planned if self.planned else 0.0


@dataclass(frozen=True, slots=True)
class Counted:
    """A count of the rows of a study, kept: counting takes long where there are millions."""

    stamp: Stamp
    made: float
    cost: float
    """Seconds that counting took."""
    done: int
    planned: int
    missing: tuple[str, ...]

    def serves(self, stamp: Stamp) -> bool:
        """Tell whether this still holds, or is too young to spend as much time again."""
        return self.stamp == stamp or time.monotonic() - self.made < PATIENCE * self.cost


def read_progress(folder: Path, kept: MutableMapping[Path, Counted] | None = None) -> Progress:
    """Read how far the study of a folder is.

    Args:
        folder: the study.
        kept: what was counted before, by folder; renewed here.

    Raises:
        UsageError: where it cannot be read, or never got as far as a plan.
    """
    counted, stamp = (kept or {}).get(folder), stamp_of(folder)
    if counted is None or not counted.serves(stamp):
        counted = _counted(folder, stamp)
        if kept is not None:
            kept[folder] = counted
    return Progress(
        state=state_of(folder, is_complete=not counted.missing),
        done=counted.done,
        planned=counted.planned,
        missing=counted.missing,
        heartbeat=heartbeat_words(folder),
    )


def _counted(folder: Path, stamp: Stamp) -> Counted:
    begun = time.monotonic()
    with StoredStudy.open_read_only(folder) as study:
        missing, planned = study.missing(), study.plan.size
    parts = _part(missing.responses, "response", "to be asked for")
    parts += _part(missing.scores, "score", "under the origin")
    parts += [part for name, n in missing.verdicts.items() for part in _part(n, "verdict", f"of {name}")]
    parts += [part for name, p in missing.measurements.items() for part in _part(len(p), "point", f"without {name}")]
    parts += ["trajectories, which are still to be projected"] * missing.traces
    now = time.monotonic()
    return Counted(stamp, now, now - begun, planned - missing.responses, planned, tuple(parts))


def _part(n: int, noun: str, of: str) -> list[str]:
    return [f"{n:,} {noun}{'s' * (n != 1)} {of}"] if n else []


def state_of(folder: Path, *, is_complete: bool | None = None) -> State:
    """Tell whether a process writes to a study, and whether it is done.

    Args:
        folder: the study.
        is_complete: whether all of its plan is there; None where nobody knows.
    """
    age = _age(read_heartbeat(folder))
    alive = _writer_lives(folder)
    if alive or (alive is None and age is not None and age < STALE_S):
        return "running"
    if is_complete is None:
        return "stopped" if alive is False else "unknown"
    if is_complete:
        return "complete"
    return "stopped" if alive is False else "incomplete"


def read_heartbeat(folder: Path) -> Mapping[str, Any]:
    """The heartbeat of a study as plain values; empty where there is none that parses."""
    return _mapping(folder / HEARTBEAT)


def _mapping(path: Path) -> Mapping[str, Any]:
    if path.is_symlink() or not path.is_file():
        return {}
    try:
        value = read_json(read_text(path, path.name, most=2**16), path.name, error=UsageError, lenient=True)
    except SafebasinError:
        return {}
    return value if isinstance(value, dict) else {}


def _writer_lives(folder: Path) -> bool | None:
    """Whether the process that holds the folder lives; None where none is named, or it is on another machine."""
    who = _mapping(folder / WRITER)
    pid, host = who.get("pid"), who.get("host")
    if not isinstance(pid, int) or isinstance(pid, bool) or not 0 < pid < 2**31 or host != socket.gethostname():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _age(beat: Mapping[str, Any]) -> float | None:
    """Seconds since a heartbeat."""
    said = beat.get("time")
    try:
        if isinstance(said, str):
            at = datetime.fromisoformat(said)
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
        elif isinstance(said, (int, float)) and math.isfinite(said):
            at = datetime.fromtimestamp(said, UTC)
        else:
            return None
    except (ValueError, OverflowError, OSError):
        return None
    return max(0.0, (datetime.now(UTC) - at).total_seconds())


def heartbeat_words(folder: Path) -> str:
    """The heartbeat of a study in words: what is done, how fast, how long ago; empty where there is none."""
    beat = read_heartbeat(folder)
    if not beat:
        return ""
    parts = [str(beat["state"])[:40]] if beat.get("state") else []
    done, planned = beat.get("done"), beat.get("planned")
    if isinstance(done, int) and isinstance(planned, int):
        parts.append(f"{done:,} of {planned:,}")
    speed = beat.get("tokens_per_s")
    if isinstance(speed, (int, float)) and math.isfinite(speed):
        parts.append(f"{speed:,.0f} tokens/s")
    age = _age(beat)
    parts += [] if age is None else [f"heartbeat {age:.0f} s ago"]
    parts += [f"process {beat['pid']}"] if isinstance(beat.get("pid"), int) else []
    return " · ".join(parts)


def as_json(progress: Progress) -> str:
    """A progress as JSON, for a page that asks again."""
    values = {
        "state": progress.state,
        "done": progress.done,
        "planned": progress.planned,
        "missing": list(progress.missing),
        "heartbeat": progress.heartbeat,
    }
    return json.dumps(values)
