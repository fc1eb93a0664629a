"""The folder of a study: making it, keeping it private, taking it away, and holding the one writer's lock.

study.yaml  history/  manifest.json  study.sqlite  landscape.json  report.html  figures/
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import NamedTemporaryFile

from filelock import FileLock, Timeout

from safebasin.errors import StoreError, UsageError, expected
from safebasin.writing import DIGESTS, KINDS, target_folder, write_text

DATABASE = "study.sqlite"
STUDY = "study.yaml"
MANIFEST = "manifest.json"
LANDSCAPE = "landscape.json"
REPORT = "report.html"
FIGURES = "figures"
HISTORY = "history"
TABLES = ("models.json", "models.html")
"""What a sweep writes of its models, and its page."""
_IGNORE = ".gitignore"
_LOCK = ".writer.lock"
_WRITER = ".writer.json"
_PROBE = ".writable"


def check_target(folder: Path) -> None:
    """Check that a folder may become, or is, that of a study. Nothing is made.

    Raises:
        StoreError: where it is something else, or its database is gone while what was made of it is there.
    """
    target_folder(folder, KINDS["a study"], what="study folder")
    _check_kept(folder)


def _check_kept(folder: Path) -> None:
    """Refuse to begin anew over the results of a database that is gone.

    Raises:
        StoreError: where it is missing, or has not a byte, beside results.
    """
    database = folder / DATABASE
    left = next((name for name in (DIGESTS, LANDSCAPE, MANIFEST) if (folder / name).is_file()), None)
    if left is not None and not (database.is_file() and database.stat().st_size):
        got = "an empty file" if database.exists() else "none"
        remedy = "Restore it from a backup, or choose another folder with -o."
        raise StoreError(expected(f"{DATABASE} of {folder}", f"there beside its {left}", got, remedy))


def create(folder: Path) -> Path:
    """Make the folder of a study, mode 0700 with a `.gitignore` that keeps everything out of version control.

    Raises:
        StoreError: as `check_target`, or where it cannot be made or written to.
    """
    check_target(folder)
    with _writable(folder, "study folder"):
        _make(folder)
        with NamedTemporaryFile(prefix=_PROBE, dir=folder):  # no name of another process that begins at the same time
            pass
    return folder


@contextmanager
def begun(folder: Path, what: str, *, first: Collection[str] = ()) -> Generator[None]:
    """Make a private folder for the block. A new one is taken away again where that fails before anything was measured.

    Args:
        folder: of results that studies are a part of. That of a study itself is begun by `run.beginning`.
        what: its name for messages.
        first: patterns of the files in it that are written before anything is measured.

    Raises:
        StoreError: where it cannot be made or written to.
    """
    new = absent(folder)
    with _writable(folder, what):
        _make(folder)
    try:
        yield
    except BaseException:
        held = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
        if all(any(fnmatchcase(name, pattern) for pattern in (_IGNORE, *first)) for name in held):
            discard(new)
        raise


def absent(folder: Path) -> tuple[Path, ...]:
    """Name the folder and those above it that are not there yet, the innermost first."""
    return tuple(itertools.takewhile(lambda path: not os.path.lexists(path), (folder, *folder.parents)))


def discard(new: Sequence[Path]) -> None:
    """Take away what `absent` named before it was made: the folder with all it holds, and those above it left empty."""
    for path in new[:1]:
        shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):  # something else is in it by now
        for path in new[1:]:
            path.rmdir()


def _make(folder: Path) -> None:
    new = absent(folder)
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    if not (folder / _IGNORE).exists():
        try:
            write_text(folder / _IGNORE, "*\n")
        except UsageError:  # a full disk
            with suppress(OSError):
                for path in new:
                    path.rmdir()
            raise


@contextmanager
def _writable(folder: Path, what: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        remedy = f"({error}) Choose another folder with -o."
        raise StoreError(expected(what, "writable", str(folder), remedy)) from error


def require(folder: Path) -> Path:
    """The folder of an existing study.

    Raises:
        StoreError: where there is none, or it has not a byte beside results.
    """
    if (folder / DATABASE).is_file():
        _check_kept(folder)
        return folder
    constraint, remedy = f"a folder with a {DATABASE}", "Make one with: safebasin map -o DIR."
    kind = next((kind for kind in KINDS.values() if kind.is_here(folder)), None)
    if kind is not None:
        inner = next((path.parent for path in sorted(folder.glob(f"**/{DATABASE}"))), None)
        where = "There is no study in it." if inner is None else f"Name a study in it, such as {inner}."
        remedy = f"It is the folder of {kind.name}. {where}"
    elif folder.is_dir():
        _check_kept(folder)
    raise StoreError(expected("study folder", constraint, str(folder), remedy))


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
        StoreError: naming the process that holds it, or why it cannot be written to.
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
    except OSError as error:  # a disk or share that may only be read
        remedy = f"({error.strerror}) Reading it needs no more; to write, copy it to where you may."
        raise StoreError(expected("study folder", "writable", str(folder), remedy)) from error
    try:
        who = {"pid": os.getpid(), "host": socket.gethostname()}
        with suppress(StoreError):  # a full disk: the lock holds without it
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
