"""The backend of a Ray cluster: a crew whose workers are actors, one engine each. Needs the extra `ray`.

Actors of our own, not Ray's retries: a worker that Ray restarts would stand at θ₀, so one that dies is replaced by the
crew and derives its point anew from the task. Recipes and texts travel, tensors do not; every node reads the model from
its own disk or a shared one. Nothing waits for ever: a worker must be placed, and a task done, within a deadline; where
a node is lost and there is no room for its worker, the others do its work.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from safebasin.errors import MissingExtra, ModelError, UsageError, expected
from safebasin.protocols.backends import EngineSpec
from safebasin.run.crew import Answered, Crew, Gone, Hand, NoRoom, Served, held
from safebasin.run.full_disk import AGAIN

__all__ = ["Cluster", "open_ray"]

ADDRESS = "RAY_ADDRESS"
"""Environment variable that says where the cluster is, as for Ray itself."""
PLACED_WITHIN = 300.0
"""Seconds in which the cluster must have placed and started the first worker, …"""
SPARE_WITHIN = 60.0
"""… and any other, before the crew goes on without it."""
DONE_WITHIN = 7200.0
"""Seconds in which a worker must have done a task, its model loaded."""
_POLL = 5.0
_REACHED_WITHIN = 5.0
SAME = ("safebasin", "torch", "transformers", "tokenizers", "numpy")
"""Packages whose versions must be those of this process: other versions may answer otherwise."""


def open_ray(spec: EngineSpec, workers: int | None = None) -> Crew:
    """Workers on the Ray cluster that `RAY_ADDRESS` names, or that runs on this machine.

    Args:
        spec: of the engine that each makes. It takes a GPU where the device is one, or as many as it says, and one
            processor.
        workers: how many; None takes as many as the cluster has processors, or GPUs.

    Raises:
        MissingExtra: where Ray is not installed.
        UsageError: where no cluster can be reached, or it is too small.
    """
    ray = _ray()
    address = os.environ.get(ADDRESS, "auto")
    _check_reachable(address)
    try:
        ray.init(address=address, log_to_driver=False, ignore_reinit_error=True, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise _unreachable(address, " ".join(str(error).split())[:200]) from error
    there = cast("Mapping[str, float]", ray.cluster_resources())
    size = spec.gpus_per_worker
    on_gpu = size > 1 or spec.device.startswith("cuda") or (spec.device == "auto" and there.get("GPU", 0) >= 1)
    if size > 1:
        _check_gpus(size, [int(node.get("GPU", 0)) for node in _nodes(ray)])
    most = sum(int(node.get("GPU", 0)) // size for node in _nodes(ray)) if on_gpu else int(there.get("CPU", 0))
    each = f" by {size} a worker" if size > 1 else ""
    wanted = most if workers is None else workers
    if not 1 <= wanted <= most:
        name = f"GPUs of the Ray cluster{each}" if on_gpu else "processors of the Ray cluster"
        remedy = "Take fewer, or add nodes with: ray start --address=HEAD:6379."
        raise UsageError(expected("--workers", f"from 1 to {most}, the {name}", wanted, remedy))
    return Crew(Cluster(spec, gpus=size if on_gpu else 0), wanted)


def _nodes(ray: Any) -> list[Mapping[str, float]]:
    """List what each node of a cluster has."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _check_gpus(size: int, of_nodes: Sequence[int]) -> None:
    """Refuse workers for which no node has GPUs enough: a worker is on one node."""
    largest = max(of_nodes, default=0)
    if size > largest:
        constraint = f"at most {largest}, the most GPUs that a node of the Ray cluster has"
        remedy = "Take fewer, or add a node that has them: a worker is on one node."
        raise UsageError(expected("--gpus-per-worker", constraint, size, remedy))


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingExtra("the backend ray", "ray", "ray") from error
    return ray


def _check_reachable(address: str) -> None:
    """Ray itself tries an address for a minute before it says so."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_REACHED_WITHIN).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, str(error)) from error


def _unreachable(address: str, why: str) -> UsageError:
    where = f"{ADDRESS}={address}" if ADDRESS in os.environ else "none on this machine"
    remedy = f"Start one (ray start --head) or name it in {ADDRESS}; without one, take --backend processes."
    return UsageError(expected("Ray cluster", "reachable", f"{where}: {why}", remedy))


class Cluster:
    """A workshop on a Ray cluster that this process is connected to.

    Args:
        spec: of the engine that each worker makes.
        gpus: how many GPUs each takes.
    """

    remedy = "Memory may be short on its node: take fewer --workers."

    def __init__(self, spec: EngineSpec, *, gpus: int = 0) -> None:
        self._spec = spec
        self._ray = _ray()
        kind = self._ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=0, max_task_retries=0)
        self._actor = kind(_Actor)
        self._has_room = False
        """Whether a worker has ever been placed."""

    def start(self) -> Remote:
        """Ask the cluster for a worker; it need not be placed yet."""
        return Remote(self._actor.remote(self._spec), self._ray)

    def wait(self, hands: Sequence[Hand]) -> Sequence[Hand]:
        """Wait for the answers of some workers.

        Raises:
            ModelError: where one runs other versions.
        """
        waiting = {cast("Remote", hand).pending: cast("Remote", hand) for hand in hands}
        while True:
            ready, _ = self._ray.wait(list(waiting), num_returns=1, timeout=_POLL)
            if ready:
                self._has_room = True
                return [waiting[ref] for ref in ready]
            self._has_room |= any([hand.is_placed() for hand in waiting.values()])
            patience = SPARE_WITHIN if self._has_room else PLACED_WITHIN
            if late := [hand for hand in waiting.values() if hand.is_late(patience)]:
                for hand in late:
                    hand.end(kindly=False)  # its answer is then that it is gone
                return late

    def hold(self, dtype: str) -> None:
        """Have workers that start from now on load their model in this dtype, where theirs would be `auto`."""
        self._spec = held(self._spec, dtype)

    def close(self) -> None:
        """Let go of the cluster; its workers have ended."""
        self._ray.shutdown()


class Remote:
    """A worker on the cluster, from here."""

    def __init__(self, actor: Any, ray: Any) -> None:
        self._actor, self._ray = actor, ray
        self._asked = time.monotonic()
        self._hello = actor.hello.remote()
        self._is_placed = False
        self._given = self._asked
        self._no_room = ""
        self.pending: Any = None
        """The answer that is waited for."""

    @property
    def pid(self) -> int:
        """Process id on its node."""
        return cast("int", self._ray.get(self._hello)["pid"])

    @property
    def gpus(self) -> tuple[str, ...]:
        """The GPUs of its node that are its own."""
        return tuple(cast("Sequence[str]", self._ray.get(self._hello)["gpus"]))

    def give(self, what: object) -> None:
        """Send it something to do."""
        self._given = time.monotonic()
        self.pending = self._actor.do.remote(what)

    def take(self) -> Answered:
        """Fetch its answer, once `wait` says that there is one."""
        errors = self._ray.exceptions
        try:
            if self._no_room:
                raise NoRoom(self._no_room)
            _ = self.is_placed()
            return cast("Answered", self._ray.get(self.pending))
        except (
            *(errors.RayActorError, errors.WorkerCrashedError, errors.NodeDiedError, errors.ObjectLostError),
            *(errors.OutOfMemoryError, errors.ActorUnschedulableError),  # by Ray's memory monitor; on a node that left
        ) as error:
            raise Gone(_first_line(error)) from error
        except (errors.OutOfDiskError, errors.ObjectStoreFullError) as error:
            remedy = f"Free space there, or start the nodes with --temp-dir=FOLDER on another disk, {AGAIN}"
            what = "the disk of Ray's own folder (/tmp/ray, where it was not named)"
            raise UsageError(expected(what, "one with room", _first_line(error), remedy)) from error

    def is_placed(self) -> bool:
        """Tell whether it is there.

        Raises:
            ModelError: where it runs other versions than this process.
        """
        if not self._is_placed and self._ray.wait([self._hello], timeout=0)[0]:
            _check_versions(self._ray.get(self._hello))
            self._is_placed = True
        return self._is_placed

    def is_late(self, patience: float) -> bool:
        """Tell whether it has been at its task for too long, or waits for room for more than some seconds."""
        now = time.monotonic()
        if self._is_placed:
            return now - self._given > DONE_WITHIN
        if now - self._asked <= patience:
            return False
        free = {name: round(n, 1) for name, n in self._ray.available_resources().items() if name in ("CPU", "GPU")}
        got = f"none for a worker after {patience:.0f} s; free are {free or 'no processors'}"
        remedy = "Wait for other jobs, add nodes, or take fewer --workers."
        self._no_room = expected("room on the Ray cluster", "there for every worker", got, remedy)
        return True

    def end(self, *, kindly: bool) -> None:
        """End it. An actor has nothing to finish."""
        del kindly
        self._ray.kill(self._actor)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next(iter(lines), type(error).__name__)[:160]


def _versions() -> dict[str, object]:
    found: dict[str, object] = {name: importlib.metadata.version(name) for name in SAME}
    return {"python": platform.python_version(), **found}


def _check_versions(theirs: Mapping[str, object]) -> None:
    for name, ours in _versions().items():
        if theirs[name] != ours:
            got = f"{name} {theirs[name]} on {theirs['host']}, {ours} here"
            remedy = "Install the same versions on all nodes, e.g. from one lock file."
            raise ModelError(expected("versions on the Ray cluster", "those of this process", got, remedy))


class _Actor:
    """What runs on the other side."""

    def __init__(self, spec: EngineSpec) -> None:
        self._served = Served(spec)

    def hello(self) -> dict[str, object]:
        """Say who it is: versions, host, process, the GPUs that are its own."""
        gpus = [str(gpu) for gpu in _ray().get_gpu_ids()]
        return {**_versions(), "host": socket.gethostname(), "pid": os.getpid(), "gpus": gpus}

    def do(self, what: object) -> Answered:
        """Do what is asked."""
        return self._served.answer(what)
