"""When files last changed: what is kept of them holds as long as their stamp does."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from safebasin.store.folder import DATABASE

__all__ = ["Stamp", "files_stamp", "stamp_of"]

Stamp = tuple[tuple[int, int], ...]
"""Size and time of each of some files."""


def stamp_of(folder: Path) -> Stamp:
    """Size and time of the files that a study's rows may stand in; zeros for those that are not there."""
    return files_stamp(folder / f"{DATABASE}{end}" for end in ("", "-wal", "-journal"))


def files_stamp(paths: Iterable[Path]) -> Stamp:
    """Size and time of some files; zeros for those that are not there."""
    found: list[tuple[int, int]] = []
    for path in paths:
        try:
            state = path.lstat()
        except OSError:
            found.append((0, 0))
        else:
            found.append((state.st_size, state.st_mtime_ns))
    return tuple(found)
