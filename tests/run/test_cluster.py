"""A Ray cluster of two nodes on this machine: the same results as in one process, whoever is killed. Needs Ray."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from safebasin import catalog, study
from safebasin.errors import MissingExtra, ModelError, UsageError
from safebasin.protocols import EngineSpec
from safebasin.run import cluster
from safebasin.run.crew import Crew, Gone
from safebasin.run.execute import measure
from safebasin.store.db import StudyStore

GUILD = "world:guild/aligned"
SCRIPTED = EngineSpec(engine="scripted", model=GUILD)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"the backend ray.*safebasin\[ray\]"):
        catalog.open_backend("ray", SCRIPTED)


def test_an_address_where_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_ray", lambda: pytest.fail("not asked"))
    monkeypatch.setattr(cluster, "_ray", object)
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UsageError, match=rf"Ray cluster must be reachable; got 'RAY_ADDRESS={address}: .*refused"):
        cluster.open_ray(SCRIPTED)


def test_other_versions_are_refused_by_name() -> None:
    here = {**cluster._versions(), "host": "node2"}
    cluster._check_versions(here)
    with pytest.raises(ModelError, match=r"must be those of this process; got 'torch 1.0 on node2, .* here'"):
        cluster._check_versions({**here, "torch": "1.0"})


def test_more_gpus_than_a_node_has() -> None:
    cluster._check_gpus(4, [2, 4])
    with pytest.raises(UsageError, match=r"--gpus-per-worker must be at most 4, the most GPUs that a node .* got 5"):
        cluster._check_gpus(5, [2, 4])


@pytest.mark.parametrize("name", ["OutOfMemoryError", "ActorUnschedulableError", "ActorUnavailableError"])
def test_a_worker_that_ray_itself_ends_is_gone(name: str) -> None:
    ray = pytest.importorskip("ray")

    def lost(ref: object) -> object:
        arguments = (name, b"0" * 16) if name == "ActorUnavailableError" else (name,)
        raise getattr(ray.exceptions, name)(*arguments)

    actor = SimpleNamespace(hello=SimpleNamespace(remote=object))
    there = SimpleNamespace(exceptions=ray.exceptions, get=lost, wait=lambda refs, timeout: ([], refs))
    with pytest.raises(Gone, match=name):
        cluster.Remote(actor, there).take()


# --- with a cluster --------------------------------------------------------------------------------------------------

slow = pytest.mark.slow
PLAN: dict[str, Any] = {
    "model": GUILD,
    "device": "cpu",
    "limit": 6,
    "systems": ["default", "none"],
    "axes": [{"range": "-1:1:5", "directions": 1}],
    "batch_size": 3,
    "decoding": {"max_new_tokens": 16},
}


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """Two raylets of one processor each."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 (so Ray spells it)
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    os.environ["RAY_ADDRESS"] = made.address
    yield made
    made.shutdown()
    del os.environ["RAY_ADDRESS"]


def rows(folder: Path) -> list[list[tuple[object, ...]]]:
    """Everything that was measured in a folder, but for when."""
    queries = (
        "SELECT key, text, thinking, n_tokens, finish_reason, broken, gap FROM responses ORDER BY key",
        "SELECT response, nll, ends FROM scores ORDER BY response",
        "SELECT response, judge, version, label, success FROM verdicts ORDER BY 1, 2, 3",
    )
    with StudyStore.open(folder) as store, store.reading() as db:
        return [db.execute(query).fetchall() for query in queries]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[list[tuple[object, ...]]]:
    return rows(measure(study.make(PLAN), tmp_path_factory.mktemp("local") / "study"))


@slow
@pytest.mark.usefixtures("nodes")
def test_a_cluster_that_is_too_small() -> None:
    try:
        with pytest.raises(UsageError, match="--workers must be from 1 to 2, the processors of the Ray cluster; got 3"):
            cluster.open_ray(SCRIPTED, 3)
    finally:
        import ray

        ray.shutdown()


@slow
@pytest.mark.usefixtures("nodes")
def test_a_worker_that_is_not_placed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_POLL", 1.0)
    first, second = cluster.open_ray(SCRIPTED, 2), Crew(cluster.Cluster(SCRIPTED), 1)
    try:
        import ray

        first.facts()
        monkeypatch.setattr(cluster, "PLACED_WITHIN", 3.0)
        blocked = ray.remote(num_cpus=1)(lambda: time.sleep(60)).remote()
        time.sleep(1)
        with pytest.raises(
            ModelError, match="room on the Ray cluster must be there for every worker; got 'none for a worker after 3 s"
        ):
            second.facts()
        ray.cancel(blocked, force=True)
    finally:
        second.close()


@slow
@pytest.mark.usefixtures("nodes")
def test_what_a_worker_raises_is_raised_here() -> None:
    backend = cluster.open_ray(EngineSpec(model="nowhere/to-be-found"), 1)
    try:
        with pytest.raises(ModelError, match="nowhere/to-be-found"):
            backend.facts()
    finally:
        backend.close()


@slow
@pytest.mark.usefixtures("nodes")
def test_a_study_is_that_of_one_process_though_a_worker_is_killed(tmp_path: Path, alone, monkeypatch) -> None:
    killed: list[int] = []
    started: list[cluster.Remote] = []
    start = cluster.Cluster.start

    def remembered(shop: cluster.Cluster) -> cluster.Remote:
        started.append(start(shop))
        return started[-1]

    monkeypatch.setattr(cluster.Cluster, "start", remembered)

    def kill_one(tick) -> None:  # type: ignore[no-untyped-def]
        if tick.stage == "generate" and not killed:
            killed.append(started[-1].pid)
            os.kill(killed[0], signal.SIGKILL)

    made = measure(study.make(PLAN), tmp_path / "study", backend="ray", workers=2, progress=kill_one)
    assert killed
    assert len(started) == 3
    assert rows(made) == alone


@slow
def test_a_study_is_that_of_one_process_though_a_node_is_lost(tmp_path: Path, alone, nodes, monkeypatch) -> None:
    """And with it the room for its worker."""
    monkeypatch.setattr(cluster, "SPARE_WITHIN", 15.0)
    monkeypatch.setattr(cluster, "_POLL", 1.0)
    lost: list[object] = []
    third = nodes.add_node(num_cpus=1)

    def lose_one(tick) -> None:  # type: ignore[no-untyped-def]
        if tick.stage == "generate" and not lost:
            lost.append(third)
            nodes.remove_node(third, allow_graceful=False)

    made = measure(study.make(PLAN), tmp_path / "study", backend="ray", workers=3, progress=lose_one)
    assert lost
    assert rows(made) == alone


@slow
@pytest.mark.usefixtures("nodes")
def test_a_driver_that_is_killed_leaves_a_study_that_goes_on(tmp_path: Path, alone) -> None:
    (tmp_path / "study.yaml").write_text(json.dumps(PLAN))
    command = [sys.executable, "-m", "safebasin", "map", "study.yaml", "-o", "out", "--backend", "ray"]
    driver = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not (some := count(tmp_path / "out")) and time.monotonic() < until:
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    assert 0 < some < len(alone[0])
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path / "out") == alone


def count(folder: Path) -> int:
    if not (folder / "study.sqlite").is_file():
        return 0
    with StudyStore.open(folder) as store:
        return store.counts()["responses"]


# --- GPUs that Ray only counts ---------------------------------------------------------------------------------------


@pytest.fixture
def gpu_nodes() -> Iterator[None]:
    """Two raylets that say they have GPUs: four, and one."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 (so Ray spells it)
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 4, "num_gpus": 4, "include_dashboard": False})
    made.add_node(num_cpus=1, num_gpus=1)
    before = os.environ.get("RAY_ADDRESS")
    os.environ["RAY_ADDRESS"] = made.address
    yield
    made.shutdown()
    del os.environ["RAY_ADDRESS"]
    if before is not None:
        os.environ["RAY_ADDRESS"] = before


@slow
@pytest.mark.usefixtures("gpu_nodes")
def test_a_worker_is_placed_with_as_many_gpus_as_it_wants() -> None:
    import ray

    spec = EngineSpec(model=GUILD, gpus_per_worker=2)
    backend = cluster.open_ray(spec)
    try:
        assert backend._size == 2, "the node with one GPU has no room for a worker"
        shop = backend._workshop
        workers = [cast("cluster.Remote", shop.start()) for _ in range(2)]
        assert sorted(gpu for worker in workers for gpu in worker.gpus) == ["0", "1", "2", "3"]
        assert [len(worker.gpus) for worker in workers] == [2, 2]
        assert ray.available_resources().get("GPU") == 1
        workers[0].give(("facts",))
        is_done, said = workers[0].take()
        assert not is_done
        assert str(said).startswith("--gpus-per-worker must be at most 0, the GPUs that this process sees; got 2.")
    finally:
        backend.close()


@slow
@pytest.mark.usefixtures("gpu_nodes")
def test_more_gpus_or_workers_than_a_cluster_has() -> None:
    import ray

    try:
        with pytest.raises(UsageError, match=r"--gpus-per-worker must be at most 4, the most GPUs that a node"):
            cluster.open_ray(EngineSpec(model=GUILD, gpus_per_worker=5))
        with pytest.raises(
            UsageError, match="--workers must be from 1 to 2, the GPUs of the Ray cluster by 2 a worker"
        ):
            cluster.open_ray(EngineSpec(model=GUILD, gpus_per_worker=2), 3)
    finally:
        ray.shutdown()


# --- a node that is short of memory -----------------------------------------------------------------------------------


@pytest.fixture
def short_node(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A raylet that ends its workers at once, since more than a 10,000th of the memory is in use."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    for name, value in (
        *(("RAY_AUTH_MODE", "disabled"), ("RAY_worker_niceness", "0")),
        *(("RAY_memory_usage_threshold", "0.0001"), ("RAY_memory_monitor_refresh_ms", "200")),
    ):
        monkeypatch.setenv(name, value)
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    monkeypatch.setenv("RAY_ADDRESS", made.address)
    yield
    made.shutdown()


@slow
@pytest.mark.usefixtures("short_node")
def test_workers_for_which_a_node_has_no_memory_are_help() -> None:
    backend = cluster.open_ray(SCRIPTED, 1)
    try:
        with pytest.raises(ModelError, match=r"worker must be alive until its model is loaded; got .*low on memory"):
            backend.facts()
    finally:
        backend.close()
