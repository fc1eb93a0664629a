"""The backend of several processes on this machine: a crew whose workers are spawned. Standard library only."""

from __future__ import annotations

import atexit
import os
import signal
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import cast

from safebasin import memory
from safebasin.errors import UsageError, expected
from safebasin.processors import inherited, share
from safebasin.protocols.backends import EngineSpec
from safebasin.run.crew import Answered, Crew, Gone, Hand, Served, held

__all__ = ["Processes", "open_processes"]

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""Environment variable that says which GPUs a process sees."""
COPIES = 2
"""Of its model, a worker holds the module and θ₀."""
_GRACE = 5.0
"""Seconds that a worker has to end by itself."""


def open_processes(spec: EngineSpec, workers: int | None = None) -> Crew:
    """Workers on this machine, as many as it has processors, or GPUs for, if None; each loads the model when it is
    first needed.

    Where the device is a GPU and its number is not said, every worker has one, or `gpus_per_worker`, of its own.

    Raises:
        UsageError: where there are more workers than processors, or than models that fit into the memory that is free,
            or than GPUs for them, or they cannot be spread over several.
    """
    groups = gpu_groups(spec)
    if groups:
        most, what = len(groups), f"this machine's GPUs by {spec.gpus_per_worker} a worker"
        remedy = "Take fewer; small models may share one: --device cuda:0."
    else:
        most, what, remedy = os.cpu_count() or 1, "this machine's processors", "More would only wait for each other."
    wanted = most if workers is None else workers
    if not 1 <= wanted <= most:
        raise UsageError(expected("--workers", f"from 1 to {most}, {what}", wanted, remedy))
    size, free = COPIES * _weights_bytes(spec.model, spec.dtype), memory.available()
    if wanted > 1 and wanted * size > free:
        constraint = f"at most {max(1, free // size)}, for each holds {size / 2**30:.2g} GiB of {free / 2**30:.2g} free"
        raise UsageError(expected("--workers", constraint, wanted, "Take fewer, or --backend local."))
    return Crew(Processes(spec, share(wanted), groups[:wanted]), wanted)


def gpu_groups(spec: EngineSpec) -> tuple[str, ...]:
    """The GPUs of each worker that this machine has room for, as `CUDA_VISIBLE_DEVICES` writes them; none where workers
    run elsewhere, or all on a GPU that is named.

    Raises:
        UsageError: where this machine has fewer GPUs than a worker wants, or the engine cannot be spread from here.
    """
    size = spec.gpus_per_worker
    if spec.device not in ("auto", "cuda"):
        return ()
    from safebasin.catalog import engine_row
    from safebasin.models.spreading import check_gpus, n_gpus

    if size > 1:
        check_gpus(size, spec.device)
        if engine_row(spec.engine).name == "vllm":  # whose own workers a worker of ours may not start
            remedy = "Take --backend local or ray."
            raise UsageError(expected("--gpus-per-worker", "1 with vllm in several processes", size, remedy))
    visible = os.environ.get(VISIBLE)
    names = visible.split(",")[: n_gpus()] if visible else [str(at) for at in range(n_gpus())]
    return tuple(",".join(names[at : at + size]) for at in range(0, len(names) - size + 1, size))


@contextmanager
def shown(gpus: str | None) -> Generator[None]:
    """Within it, processes are started that see these GPUs alone; None leaves what they see as it is."""
    before = os.environ.get(VISIBLE)
    if gpus is not None:
        os.environ[VISIBLE] = gpus
    try:
        yield
    finally:
        if before is not None:
            os.environ[VISIBLE] = before
        elif gpus is not None:
            del os.environ[VISIBLE]


def _weights_bytes(model: str, dtype: str) -> int:
    """Of a model in memory: in a dtype that is settled, or else as large as its files."""
    from safebasin.models.computed import weight_count
    from safebasin.models.reference import resolve
    from safebasin.models.sizes import ITEMSIZE

    folder = resolve(model).folder
    count = weight_count(folder) if dtype in ITEMSIZE else None
    if count is not None:
        return count * ITEMSIZE[dtype]
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


class Processes:
    """A workshop on this machine: a spawned process for each worker.

    Args:
        spec: of the engine that each makes.
        threads: of each; None leaves the number as it is.
        groups: the GPUs of each worker (`gpu_groups`); none shows every worker all of them.
    """

    remedy = (
        "Memory may be short: take fewer --workers, or --backend local. A script of yours, which every worker imports, "
        "starts a run only under `if __name__ == '__main__':`."
    )

    def __init__(self, spec: EngineSpec, threads: int | None = None, groups: Sequence[str] = ()) -> None:
        self._spec = spec
        self._threads = threads
        self._groups = groups
        self._held: dict[str, SpawnProcess] = {}
        self._context = get_context("spawn")

    def start(self) -> Child:
        """Spawn a worker."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._spec), daemon=True)
        group = next((gpus for gpus in self._groups if gpus not in self._held or not self._held[gpus].is_alive()), None)
        with inherited(self._threads), shown(group):
            process.start()
        atexit.register(process.kill)  # before `multiprocessing` asks it to end by a signal that it ignores, and waits
        if group is not None:
            self._held[group] = process
        theirs.close()  # so that a worker that dies is noticed: nobody else holds its end
        return Child(process=process, connection=cast("Connection", ours))

    def wait(self, hands: Sequence[Hand]) -> Sequence[Hand]:
        """Wait for the pipes of some workers."""
        pipes = {cast("Child", hand).connection: hand for hand in hands}
        return [pipes[cast("Connection", pipe)] for pipe in wait(list(pipes))]

    def hold(self, dtype: str) -> None:
        """Have workers that start from now on load their model in this dtype, where theirs would be `auto`."""
        self._spec = held(self._spec, dtype)

    def close(self) -> None:
        """Nothing: the workers were all of it."""


@dataclass(eq=False)
class Child:
    """A worker process and our end of the pipe to it."""

    process: SpawnProcess
    connection: Connection

    @property
    def pid(self) -> int:
        """Its process id."""
        return cast("int", self.process.pid)

    def give(self, what: object) -> None:
        """Send it something to do."""
        _send(self.connection, what)

    def take(self) -> Answered:
        """Receive its answer."""
        try:
            return cast("Answered", self.connection.recv())
        except (EOFError, OSError) as error:
            self.process.join(_GRACE)
            code = self.process.exitcode
            raise Gone(f"signal {-code}" if code is not None and code < 0 else f"exit code {code}") from error

    def end(self, *, kindly: bool) -> None:
        """End it, after a moment to do so by itself."""
        if kindly and self.process.is_alive():
            _send(self.connection, None)
            self.process.join(_GRACE)
        self.process.kill()
        self.process.join()
        atexit.unregister(self.process.kill)
        self.connection.close()


def _send(connection: Connection, what: object) -> None:
    with suppress(OSError):  # who is gone is noticed where an answer, or a task, is waited for
        connection.send(what)


def _serve(connection: Connection, spec: EngineSpec) -> None:
    """Do what comes through a connection, until None comes or the other side is gone. Runs in the worker."""
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to all of a job: they are for the owner, who ends the workers
        signal.signal(number, signal.SIG_IGN)
    served = Served(spec)
    with memory.seldom_collected(), suppress(EOFError, OSError):  # that the other side is gone
        while (asked := connection.recv()) is not None:
            _send(connection, served.answer(asked))
