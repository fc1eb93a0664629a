"""How much memory this process may still take: what the machine has left, or less where its control groups say so.

And how often it is gone through for objects that only refer to each other.
"""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from safebasin.control_groups import groups, kernel_text

__all__ = ["available", "seldom_collected", "total"]

_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Of version 2 and 1: the limit, what is used of it, and how much of that are pages of files that can be let go of."""


def available(root: Path = Path("/")) -> int:
    """Bytes that can be taken before the machine swaps, or a control group ends somebody; at least 0.

    Args:
        root: of the file system, with `proc/self/cgroup` and `sys/fs/cgroup`.
    """
    return max(0, min([int(psutil.virtual_memory().available), *_left(root)]))


def total(root: Path = Path("/")) -> int:
    """Bytes that this process could have if nobody else took any: of the machine, or of its control groups.

    Args:
        root: as in `available`.
    """
    stated = [kernel_text(folder / limit) for folder in groups("memory", root) for limit, _, _ in _FILES]
    return min([int(psutil.virtual_memory().total), *(int(limit) for limit in stated if limit.isdecimal())])


def _left(root: Path) -> Iterator[int]:
    """What each limit on the way up has left."""
    for folder in groups("memory", root):
        for limit, used, files in _FILES:
            stated, taken = kernel_text(folder / limit), kernel_text(folder / used)
            if stated.isdecimal() and taken.isdecimal():  # "max" is no limit
                yield int(stated) - int(taken) + _stat(folder, files)


def _stat(folder: Path, name: str) -> int:
    """One number of a group's `memory.stat`; 0 where it is not there."""
    found = dict(line.split(" ", 1) for line in kernel_text(folder / "memory.stat").splitlines() if " " in line)
    return int(found[name]) if found.get(name, "").isdecimal() else 0


@contextmanager
def seldom_collected() -> Generator[None]:
    """Have Python look for objects that only refer to each other a tenth as often, until the end of the block.

    It looks whenever some hundred more are alive, at times through all that are: where a page is made of some hundred
    thousand that live to its end, that was a sixth of the time. Never less often than that, for a figure is a cycle.
    """
    before = gc.get_threshold()
    if 0 < before[0] < _SELDOM:
        gc.set_threshold(_SELDOM, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


_SELDOM = 10_000
"""Objects more."""
