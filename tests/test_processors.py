"""Threads from affinity and quota, with made control groups; what the user has set stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from safebasin.processors import inherited, quota, settle, share, usable


def groups(root: Path, cgroup: str, files: dict[str, str]) -> Path:
    for name, text in {"proc/self/cgroup": cgroup, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


V1 = "4:memory:/docker/ab\n3:cpu,cpuacct:/docker/ab\n1:name=systemd:/docker/ab"
CASES = {
    "version 2, in a container": ("0::/", {"sys/fs/cgroup/cpu.max": "150000 100000"}, 1.5),
    "version 2, no limit": ("0::/", {"sys/fs/cgroup/cpu.max": "max 100000"}, None),
    "version 2, the least on the way up": (
        "0::/pods/one/main",
        {
            "sys/fs/cgroup/pods/one/main/cpu.max": "max 100000",
            "sys/fs/cgroup/pods/one/cpu.max": "200000 100000",
            "sys/fs/cgroup/pods/cpu.max": "800000 100000",
        },
        2.0,
    ),
    "version 1": (
        V1,
        {
            "sys/fs/cgroup/cpu,cpuacct/docker/ab/cpu.cfs_quota_us": "300000",
            "sys/fs/cgroup/cpu,cpuacct/docker/ab/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/memory/docker/ab/cpu.max": "1 100",
        },
        3.0,
    ),
    "version 1, the host's path is not there": (
        V1,
        {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"},
        0.5,
    ),
    "version 1, no limit": (
        V1,
        {
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
        },
        None,
    ),
    "both": (
        f"{V1}\n0::/docker/ab",
        {
            "sys/fs/cgroup/unified/docker/ab/cpu.max": "100000 100000",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1",
        },
        1.0,
    ),
    "none": ("", {}, None),
    "damaged": ("no line of ours", {"sys/fs/cgroup/cpu.max": "many"}, None),
}


@pytest.mark.parametrize("case", CASES)
def test_the_quota_of_control_groups(tmp_path: Path, case: str) -> None:
    cgroup, files, wanted = CASES[case]
    assert quota(groups(tmp_path, cgroup, files)) == wanted


def limited(root: Path, processors: float) -> Path:
    return groups(root, "0::/", {"sys/fs/cgroup/cpu.max": f"{int(processors * 100_000)} 100000"})


@pytest.mark.parametrize(("allowed", "granted", "wanted"), [(8, 2.5, 2), (2, 6, 2), (8, 0.3, 1)])
def test_usable_is_the_lesser_of_affinity_and_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: int, granted: float, wanted: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(allowed)), raising=False)
    assert usable(limited(tmp_path, granted)) == wanted


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight processors, before torch is loaded."""
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.delitem(sys.modules, "torch", raising=False)


@pytest.mark.usefixtures("eight")
def test_threads_are_set_to_the_quota_and_told_to_sleep(tmp_path: Path) -> None:
    environ: dict[str, str] = {}
    settle(environ, limited(tmp_path, 2))
    assert environ == {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0", "OMP_NUM_THREADS": "2"}


@pytest.mark.usefixtures("eight")
@pytest.mark.parametrize("own", [{"OMP_NUM_THREADS": "7"}, {"MKL_NUM_THREADS": "7"}, {"GOMP_SPINCOUNT": "10"}])
def test_what_the_user_has_set_stays(tmp_path: Path, own: dict[str, str]) -> None:
    environ = dict(own)
    settle(environ, limited(tmp_path, 2))
    assert own.items() <= environ.items()
    assert ("OMP_NUM_THREADS" in environ) == ("MKL_NUM_THREADS" not in own)
    assert ("OMP_WAIT_POLICY" in environ) == ("GOMP_SPINCOUNT" not in own)


@pytest.mark.usefixtures("eight")
def test_without_a_limit_the_number_is_left_to_the_libraries(tmp_path: Path) -> None:
    environ: dict[str, str] = {}
    settle(environ, tmp_path)
    assert "OMP_NUM_THREADS" not in environ


def test_nothing_is_set_once_torch_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", os)
    environ: dict[str, str] = {}
    settle(environ, tmp_path)
    assert environ == {}


@pytest.mark.usefixtures("eight")
def test_workers_share_the_processors(tmp_path: Path) -> None:
    assert [share(n, {}, limited(tmp_path, 4)) for n in (1, 2, 3, 9)] == [4, 2, 1, 1]
    assert share(2, {"OMP_NUM_THREADS": "4"}, tmp_path) is None


@pytest.mark.parametrize("program", ["import safebasin.api", "import safebasin.__main__ as m; m._settle()"])
def test_the_api_and_the_command_line_settle_before_torch_is_loaded(program: str) -> None:
    shown = "import os, sys; print('torch' in sys.modules, os.environ.get('OMP_WAIT_POLICY'))"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "KMP_", "GOMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", f"{program}; {shown}"], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "PASSIVE"]


def test_what_is_started_has_its_threads_though_torch_is_loaded_here() -> None:
    environ = {"HOME": "/", "OMP_NUM_THREADS": "8"}
    with inherited(2, environ):
        assert environ == {"HOME": "/", "OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
    assert environ == {"HOME": "/", "OMP_NUM_THREADS": "8"}
    spinning = {"GOMP_SPINCOUNT": "300000"}
    with inherited(None, spinning):
        assert spinning == {"GOMP_SPINCOUNT": "300000"}
