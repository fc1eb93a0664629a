"""A disk that is full where a worker writes: on which machine, which folder, and what to do; one line.

A worker writes next to nothing: folders that are made of a model once (`models.made`), what is fetched from the hub,
and what libraries leave in the temporary folder. The rows are written by the driver, whose own disk is `store`'s.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from safebasin.errors import UsageError, expected

__all__ = ["AGAIN", "full_disk"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SAID = re.compile(
    "|".join(map(re.escape, (*map(os.strerror, _FULL), *(f"os error {number}" for number in _FULL)))), re.IGNORECASE
)
"""As libraries say it whose errors are no `OSError`, such as safetensors'."""
_PATH = re.compile(r"'(/[^']+)'")
_CACHES = ("SAFEBASIN_GGUF", "SAFEBASIN_LANGUAGE", "HF_HUB_CACHE", "HF_HOME")
"""Environment variables that name folders which a worker may write to, beside the temporary one."""
_NEARLY_FULL = 0.02
AGAIN = "then run the same command again: what was measured is kept."
"""The end of what is to be done."""


def full_disk(error: BaseException) -> UsageError | None:
    """Say of an error that comes of a full disk what is to be said; None of any other."""
    for cause in _causes(error):
        is_full = isinstance(cause, OSError) and cause.errno in _FULL
        if is_full or _SAID.search(str(cause)):
            said = " ".join(str(cause).split())[:160]
            where = f"the disk of {' or '.join(map(str, _folders_of(cause)))}, a worker's folder,"
            remedy = f"Free space there or name another folder ({', '.join(('TMPDIR', *_CACHES))})"
            got = f"{said} (on {socket.gethostname()})"
            return UsageError(expected(where, "one with room", got, f"{remedy}, {AGAIN}"))
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what led to it, but for what is already said in our own words."""
    seen: BaseException | None = error
    while seen is not None:
        if not isinstance(seen, UsageError):
            yield seen
        seen = seen.__cause__ or seen.__context__


def _folders_of(error: BaseException) -> tuple[Path, ...]:
    """The folder that an error names; else those a worker writes to that have no room, or all of them if each has."""
    named = getattr(error, "filename", None)
    found = _PATH.search(str(error))
    path = named if isinstance(named, str) else found[1] if found else None
    if path is not None:
        return (Path(path).parent,)
    there = tuple(folder for folder in dict.fromkeys(_scratch()) if folder.is_dir())
    full = tuple(folder for folder in there if _free_share(folder) < _NEARLY_FULL)
    return full or there


def _free_share(folder: Path) -> float:
    use = shutil.disk_usage(folder)
    return use.free / max(use.total, 1)


def _scratch() -> Iterator[Path]:
    yield Path(os.environ.get("TMPDIR") or tempfile.gettempdir())
    yield from (Path(os.environ[name]) for name in _CACHES if os.environ.get(name))
