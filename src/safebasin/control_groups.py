"""The control groups that this process is in, on the way up: a container's share of a machine that no library sees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

__all__ = ["groups", "kernel_text"]


def groups(controller: str, root: Path = Path("/")) -> Iterator[Path]:
    """Folders of the groups that may limit this process, of version 2 and 1, from its own up; they need not be there.

    Args:
        controller: such as `cpu` or `memory`.
        root: of the file system, with `proc/self/cgroup` and `sys/fs/cgroup`.
    """
    mounts = root / "sys/fs/cgroup"
    for line in kernel_text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            places = [mounts, mounts / "unified"]
        elif controller in controllers.split(","):
            places = [mounts / controllers, mounts / controller]
        else:
            continue
        for place in places:
            group = place / path.strip("/")
            for folder in (group, *group.parents):
                if folder == mounts.parent:
                    break
                yield folder


def kernel_text(path: Path) -> str:
    """Read a small file of the kernel, stripped; empty where it is not there."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
