"""What the verbs print with: stdout for results, stderr for progress; hostile text made harmless."""

from __future__ import annotations

import io
import json
import logging
import sys
import time
import warnings

from safebasin.run.progress import Tick, describe

LINE_INTERVAL_S = 5.0
"""Where there is no terminal: one line of progress per this many seconds."""


def plain(text: str) -> str:
    """Text with control characters made visible, so that no message can steer a terminal."""
    from safebasin.report.sanitize import visible

    return visible(text)


def say(text: str = "") -> None:
    """Print a line of results to stdout. The one door to it, as `note` is to stderr: nothing passes that steers."""
    sys.stdout.write(plain(text) + "\n")


def print_json(value: object) -> None:
    """Print one JSON document to stdout; what is not plain ASCII is escaped as JSON escapes it."""
    sys.stdout.write(json.dumps(value, indent=1, allow_nan=False, default=str).replace("\x7f", "\\u007f") + "\n")


def guard_streams() -> None:
    """Let what Python itself prints to stderr, warnings and unconfigured logs, through the same door.

    What the encoding of stdout lacks is written as an escape, as it is on stderr.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Plain())
    warnings.formatwarning = lambda message, category, *_: f"{category.__name__}: {plain(str(message))}\n"


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return plain(super().format(record))


def note(text: str) -> None:
    """Say something to stderr, so that stdout holds results only."""
    sys.stderr.write(plain(text) + "\n")
    sys.stderr.flush()


class Progress:
    """Shows ticks on stderr: one line that moves on a terminal, a line per interval elsewhere."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._moving = sys.stderr.isatty()
        self._last = 0.0
        self._stage = ""
        self._line = ""

    def __call__(self, tick: Tick) -> None:
        """Show a tick, unless the last one was a moment ago."""
        if self._quiet:
            return
        now = time.monotonic()
        changed = tick.stage != self._stage
        wait = 0.1 if self._moving else LINE_INTERVAL_S
        if not changed and tick.done < tick.total and now - self._last < wait:
            return
        line = plain(describe(tick))
        if line == self._line:
            return
        if changed and self._stage and self._moving:
            sys.stderr.write("\n")
        self._stage, self._last, self._line = tick.stage, now, line
        sys.stderr.write(f"\r\x1b[2K{line}" if self._moving else f"{line}\n")
        sys.stderr.flush()

    def close(self) -> None:
        """End the moving line."""
        if self._moving and self._stage and not self._quiet:
            sys.stderr.write("\n")
            sys.stderr.flush()
