"""How many processors this process may use, and threads that leave the others alone; set before torch is loaded.

A container may have a share of a machine that no library sees: libraries then start a thread for each processor, and
each waits for those that the quota holds back. Threads of OpenMP that have nothing to do spin for a while, in the way
of whoever else has work on that processor; they are told to sleep. What the user has set stays as it is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path

from safebasin.control_groups import groups, kernel_text

__all__ = ["inherited", "quota", "settle", "share", "usable"]

_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
"""What a user may have said of waiting threads: of any OpenMP, of GCC's (torch from PyPI), of Intel's and LLVM's."""
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def settle(environ: MutableMapping[str, str] = os.environ, root: Path = Path("/")) -> None:
    """Set what OpenMP reads as it is loaded, where nobody has: threads by the quota, and waiting without spinning.

    Processes that this one starts inherit it. Where torch is loaded already it is too late, and nothing is set.
    """
    if "torch" in sys.modules:
        return
    _let_sleep(environ)
    if not any(name in environ for name in _THREADS) and usable(root) < (os.cpu_count() or 1):
        environ["OMP_NUM_THREADS"] = str(usable(root))


@contextmanager
def inherited(threads: int | None, environ: MutableMapping[str, str] = os.environ) -> Generator[None]:
    """Within it, processes are started that have so many threads, which sleep while they wait, however late it is here.

    In the environment that they begin with, since a program that loads torch as it starts does so in each of them too,
    before a worker can set anything. What the user has set stays.

    Args:
        threads: of each; None leaves the number as it is.
        environ: what they inherit.
    """
    before = dict(environ)
    _let_sleep(environ)
    if threads is not None:
        environ["OMP_NUM_THREADS"] = str(threads)
    try:
        yield
    finally:
        for name in environ.keys() - before.keys():
            del environ[name]
        environ.update(before)


def _let_sleep(environ: MutableMapping[str, str]) -> None:
    if not any(name in environ for name in _WAITING):
        environ["OMP_WAIT_POLICY"] = "PASSIVE"
        environ["KMP_BLOCKTIME"] = "0"


def share(workers: int, environ: MutableMapping[str, str] = os.environ, root: Path = Path("/")) -> int | None:
    """Threads for each of several workers on this machine; None where the user has said how many."""
    return None if any(name in environ for name in _THREADS) else max(1, usable(root) // workers)


def usable(root: Path = Path("/")) -> int:
    """Processors that this process may use: by its affinity and by the quota of its control groups; at least 1.

    A quota of two and a half counts as two: a third thread would be held back half of the time, and the others wait.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = quota(root)
    return max(1, allowed if limit is None else min(allowed, int(limit)))


def quota(root: Path = Path("/")) -> float | None:
    """Processors' worth of time that control groups grant this process, the least on the way up; None for no limit.

    Args:
        root: of the file system, with `proc/self/cgroup` and `sys/fs/cgroup`.
    """
    return min(_limits(root), default=None)


def _limits(root: Path) -> Iterator[float]:
    """Each limit on the way from the group of this process up, of version 2 (`cpu.max`) and 1 (`cpu.cfs_*`)."""
    for folder in groups("cpu", root):
        yield from _limit(folder)


def _limit(folder: Path) -> Iterator[float]:
    """The limit that one control group sets, if it sets one."""
    granted, _, period = kernel_text(folder / "cpu.max").partition(" ")
    if not granted:
        granted, period = kernel_text(folder / "cpu.cfs_quota_us"), kernel_text(folder / "cpu.cfs_period_us")
    try:
        found = int(granted) / int(period)
    except (ValueError, ZeroDivisionError):  # "max", or no such file
        return
    if found > 0:  # −1 is no limit
        yield found
