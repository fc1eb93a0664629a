"""The report of a folder as it is now: of a study made of its rows, of all else the page that its command wrote.

A study's report is never taken from its file: that may be older than the rows, or hold texts that are withheld here.
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from safebasin.errors import UsageError
from safebasin.judges import load_judge
from safebasin.landscape.results import read_landscape
from safebasin.landscape.samples import read_samples
from safebasin.landscape.stored import StoredStudy
from safebasin.records import Landscape
from safebasin.report.html import render_html
from safebasin.report.layout import model_name
from safebasin.run.judging import judge_stored
from safebasin.run.manifest import read_manifest
from safebasin.store import folder as folders
from safebasin.untrusted import MIB, read_bytes
from safebasin.viewer.progress import state_of
from safebasin.viewer.stamps import Stamp, stamp_of
from safebasin.viewer.tree import Found, file_of

__all__ = ["Reports"]

KEPT = 8
"""Reports that are kept until their study changes."""
AT_MOST_EVERY_S = 10.0
"""How often the report of one study is made while its rows change."""
LARGEST = 512 * MIB
LARGEST_COPY = 256 * MIB
"""A larger database is not copied to be judged while its study runs."""
BY_TEXT = re.compile(r"(keyword/|refusal\b).*")
"""Judges of text alone, which ask nobody and are as fast as reading."""


@dataclass(frozen=True, slots=True)
class _Made:
    stamp: Stamp
    at: float
    page: str
    landscape: Landscape


@dataclass(slots=True)
class Reports:
    """Reports by folder, each made when it is asked for and its rows are others than before; one at a time."""

    with_text: bool = False
    """Also show texts that redaction withholds."""
    _made: OrderedDict[Path, _Made] = field(default_factory=OrderedDict[Path, _Made])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def page(self, found: Found) -> bytes:
        """The report as bytes.

        Raises:
            UsageError: where the folder has none, or its rows cannot be read.
        """
        if found.kind.name == "a study":
            return self._study(found).page.encode("utf-8", "backslashreplace")
        return self.file(found, folders.REPORT)

    def file(self, found: Found, name: str) -> bytes:
        """A page that a command wrote, as it is.

        Raises:
            UsageError: where the folder has none.
        """
        path = file_of(found, name)
        if path is None:
            raise UsageError(f"{name} must be there; got none. The command that makes it is not done, or was stopped.")
        return read_bytes(path, name, most=LARGEST)

    def landscape(self, found: Found) -> Landscape:
        """The landscape of a study.

        Raises:
            UsageError: where its rows cannot be read.
        """
        return self._study(found).landscape

    def _study(self, found: Found) -> _Made:
        with self._lock:
            made, stamp = self._made.get(found.path), stamp_of(found.path)
            if made is None or (made.stamp != stamp and time.monotonic() - made.at >= AT_MOST_EVERY_S):
                made = self._made[found.path] = self._make(found.path, stamp)
            self._made.move_to_end(found.path)
            while len(self._made) > KEPT:
                self._made.popitem(last=False)
            return made

    def _make(self, folder: Path, stamp: Stamp) -> _Made:
        meanwhile = state_of(folder) == "running" and sum(size for size, _ in stamp) <= LARGEST_COPY
        with StoredStudy.open_read_only(folder, in_memory=meanwhile) as study:
            if meanwhile:
                _judge_by_text(study)
            landscape = read_landscape(study)
            samples = read_samples(study, with_text=self.with_text)
            title = f"Safety basin of {model_name(landscape.model)}"
            page = render_html(landscape, read_manifest(folder), samples, title=title)
        return _Made(stamp, time.monotonic(), page, landscape)


def _judge_by_text(study: StoredStudy) -> None:
    """Let the fast judges say in a copy what the run says only at its end, so that its curves grow while it runs."""
    names = [name for name, _ in study.judges if BY_TEXT.fullmatch(name)]
    judge_stored(study.store, study.plan, [load_judge(name) for name in names])
