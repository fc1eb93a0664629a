"""The folder of a study: making it, keeping it private, and holding the one writer's lock. Not its database.

study.yaml  history/  manifest.json  study.sqlite  landscape.json  report.html  figures/
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from safebasin.errors import StoreError, expected

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
_TEMPORARY = re.compile(r"\..+\.\d+")
"""Names that `write_atomic` writes under before it renames."""


def create(folder: Path) -> Path:
    """Make the folder of a study, mode 0700 with a `.gitignore` that keeps everything out of version control.

    Raises:
        StoreError: where the path is a file, or the folder cannot be made or written to.
    """
    remedy = "Choose another folder with -o."
    if folder.exists() and not folder.is_dir():
        raise StoreError(expected("study folder", "a folder", str(folder), f"It is a file. {remedy}"))
    try:
        if not folder.exists():
            folder.mkdir(parents=True, mode=0o700)
        elif not (folder / DATABASE).exists() and not all(_is_ours(p.name) for p in folder.iterdir()):
            raise StoreError(expected("study folder", "empty, or the folder of a study", str(folder), remedy))
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
        probe = folder / _PROBE
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StoreError(expected("study folder", "writable", str(folder), f"({error}) {remedy}")) from error
    return folder


_OURS = frozenset(
    {".gitignore", STUDY, MANIFEST, HISTORY, FIGURES, LANDSCAPE, REPORT, "error.log", _LOCK, _WRITER, _PROBE}
)


def _is_ours(name: str) -> bool:
    """Whether a study may have left a file of this name, also where it was killed while it wrote."""
    return name in _OURS or name == f"{DATABASE}-journal" or _TEMPORARY.fullmatch(name) is not None


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


@contextmanager
def writer(folder: Path) -> Generator[None]:
    """Hold the folder as its one writer. The lock is the operating system's, so it dies with the process.

    Raises:
        StoreError: naming the process that holds it.
    """
    lock = FileLock(folder / _LOCK, timeout=0)
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
        (folder / _WRITER).write_text(json.dumps(who), encoding="utf-8")
        yield
    finally:
        (folder / _WRITER).unlink(missing_ok=True)
        lock.release()


def _holder(folder: Path) -> str:
    try:
        who = json.loads((folder / _WRITER).read_text(encoding="utf-8"))
        return f"Process {who['pid']} on {who['host']} writes to it."
    except (OSError, ValueError, KeyError):
        return "Another process writes to it."


def write_atomic(path: Path, text: str) -> None:
    """Write a text file under a temporary name and rename it, so that a reader never sees half of it.

    Raises:
        StoreError: where the disk is full or not writable.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(
            expected(
                path.name,
                "written to disk",
                str(path),
                f"({error}) Mend the path or free space, then run the same command again.",
            )
        ) from error
