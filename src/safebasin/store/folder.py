"""The folder of a study: making it, keeping it private, and holding the one writer's lock. Not its database.

study.yaml  history/  manifest.json  study.sqlite  landscape.json  report.html  figures/
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from safebasin.errors import StoreError, expected
from safebasin.writing import KINDS, target_folder, write_text

DATABASE = "study.sqlite"
STUDY = "study.yaml"
MANIFEST = "manifest.json"
LANDSCAPE = "landscape.json"
REPORT = "report.html"
FIGURES = "figures"
HISTORY = "history"
_LOCK = ".writer.lock"
_WRITER = ".writer.json"
_PROBE = ".writable"


def create(folder: Path) -> Path:
    """Make the folder of a study, mode 0700 with a `.gitignore` that keeps everything out of version control.

    Raises:
        StoreError: where the path is a file, or the folder cannot be made or written to.
    """
    target_folder(folder, KINDS["a study"], what="study folder")
    try:
        if not folder.exists():
            folder.mkdir(parents=True, mode=0o700)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            write_text(ignore, "*\n")
        probe = folder / _PROBE
        probe.touch()
        probe.unlink()
    except OSError as error:
        remedy = f"({error}) Choose another folder with -o."
        raise StoreError(expected("study folder", "writable", str(folder), remedy)) from error
    return folder


def require(folder: Path) -> Path:
    """The folder of an existing study.

    Raises:
        StoreError: where there is none.
    """
    if not (folder / DATABASE).is_file():
        raise StoreError(
            expected("study folder", f"a folder with a {DATABASE}", str(folder), "Make one with: safebasin map -o DIR.")
        )
    return folder


def results(folder: Path) -> str:
    """The kind of a folder of results, by its name in `writing.KINDS`.

    Raises:
        StoreError: where it is none.
    """
    for kind in KINDS.values():
        if kind.is_here(folder):
            return kind.name
    what = "a folder that a command wrote results to" if folder.exists() else "an existing folder of results"
    raise StoreError(expected("folder", what, str(folder), "Name that of a study, an audit or the like."))


@contextmanager
def writer(folder: Path) -> Generator[None]:
    """Hold the folder as its one writer. The lock is the operating system's, so it dies with the process.

    A thread that holds it may hold it again: what measures and then writes results is one writer to its end.

    Raises:
        StoreError: naming the process that holds it.
    """
    lock = FileLock(folder.resolve() / _LOCK, timeout=0, is_singleton=True)
    try:
        lock.acquire()
    except Timeout as error:
        raise StoreError(
            expected(
                "study folder", "free of other writers", str(folder), f"{_holder(folder)} Wait for it, or stop it."
            )
        ) from error
    try:
        who = {"pid": os.getpid(), "host": socket.gethostname()}
        write_text(folder / _WRITER, json.dumps(who))
        yield
    finally:
        if lock.lock_counter == 1:
            (folder / _WRITER).unlink(missing_ok=True)
        lock.release()


def _holder(folder: Path) -> str:
    try:
        who = json.loads((folder / _WRITER).read_text(encoding="utf-8"))
        return f"Process {who['pid']} on {who['host']} writes to it."
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "Another process writes to it."
