"""Memory that is left, with made control groups: the least of the machine and every group on the way up."""

from __future__ import annotations

import gc
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from safebasin.memory import available, seldom_collected, total

V2 = "sys/fs/cgroup/pods/one/"
V1 = "sys/fs/cgroup/memory/docker/ab/"
CASES = {
    "no group": ("0::/", {}, 1000),
    "version 2, files can be let go of": (
        "0::/pods/one",
        {f"{V2}memory.max": "900", f"{V2}memory.current": "700", f"{V2}memory.stat": "anon 9\ninactive_file 50"},
        250,
    ),
    "version 2, no limit": ("0::/pods/one", {f"{V2}memory.max": "max", f"{V2}memory.current": "700"}, 1000),
    "version 2, the least on the way up": (
        "0::/pods/one",
        {
            f"{V2}memory.max": "900",
            f"{V2}memory.current": "100",
            "sys/fs/cgroup/pods/memory.max": "2000",
            "sys/fs/cgroup/pods/memory.current": "1600",
        },
        400,
    ),
    "version 1": (
        "4:memory:/docker/ab\n3:cpu,cpuacct:/docker/ab",
        {
            f"{V1}memory.limit_in_bytes": "800",
            f"{V1}memory.usage_in_bytes": "500",
            f"{V1}memory.stat": "total_inactive_file 25",
        },
        325,
    ),
    "version 1, no limit": (
        "4:memory:/docker/ab",
        {f"{V1}memory.limit_in_bytes": str(2**63 - 4096), f"{V1}memory.usage_in_bytes": "500"},
        1000,
    ),
    "beyond its limit": ("0::/pods/one", {f"{V2}memory.max": "900", f"{V2}memory.current": "950"}, 0),
}


def groups_of(root: Path, cgroup: str, files: dict[str, str]) -> None:
    for name, text in {"proc/self/cgroup": cgroup, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")


@pytest.mark.parametrize(("cgroup", "files", "left"), CASES.values(), ids=CASES.keys())
def test_what_is_left(
    cgroup: str, files: dict[str, str], left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    groups_of(tmp_path, cgroup, files)
    assert available(tmp_path) == left


@pytest.mark.parametrize(
    ("case", "most"),
    [
        ("no group", 3000),
        ("version 2, files can be let go of", 900),
        ("version 2, no limit", 3000),
        ("version 2, the least on the way up", 900),
        ("version 1", 800),
        ("version 1, no limit", 3000),
    ],
)
def test_what_there_is_whoever_holds_it(case: str, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=3000, available=1))
    cgroup, files, _ = CASES[case]
    groups_of(tmp_path, cgroup, files)
    assert total(tmp_path) == most


@pytest.mark.parametrize(("before", "within"), [((700, 10, 10), 10_000), ((0, 10, 10), 0), ((50_000, 5, 5), 50_000)])
def test_cycles_are_looked_for_less_often_and_then_as_before(before: tuple[int, int, int], within: int) -> None:
    usual = gc.get_threshold()
    gc.set_threshold(*before)
    try:
        with seldom_collected():
            assert gc.get_threshold() == (within, *before[1:])
        assert gc.get_threshold() == before
    finally:
        gc.set_threshold(*usual)
