"""The backend of several processes on this machine: each is a worker with an engine of its own. Standard library only.

The tasks of a point go to one worker, so that weights are moved once; a worker without any takes over half of what
another has left. A worker that dies is replaced and its task done again: nothing is lost but the time. A task holds all
that it takes and a point is the same on every worker, so results are those of one process, bit for bit.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import traceback
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby, islice
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import cast

import psutil

from safebasin import catalog
from safebasin.errors import ModelError, UsageError, expected
from safebasin.protocols import EngineFacts
from safebasin.protocols.backends import EngineSpec, Generate, Results, Split, Task
from safebasin.run.worker import Worker

__all__ = ["ProcessBackend", "open_processes"]

_log = logging.getLogger(__name__)
MOST_DEATHS = 3
"""How often a task is begun whose worker dies."""
COPIES = 2
"""Of its model, a worker holds the module and θ₀."""
TOGETHER = 64
"""Tasks that are given to one worker at once, at most: no more are waiting in memory."""
_GRACE = 5.0
"""Seconds that a worker has to end by itself."""


def open_processes(spec: EngineSpec, workers: int | None = None) -> ProcessBackend:
    """Workers on this machine, as many as it has processors if None; each loads the model when it is first needed.

    Raises:
        UsageError: where there are more workers than processors, or than models that fit into the memory that is free.
    """
    processors = os.cpu_count() or 1
    wanted = processors if workers is None else workers
    if not 1 <= wanted <= processors:
        remedy = "More would only wait for each other."
        raise UsageError(expected("--workers", f"from 1 to {processors}, this machine's processors", wanted, remedy))
    size, free = COPIES * _weights_bytes(spec.model), psutil.virtual_memory().available
    if wanted > 1 and wanted * size > free:
        constraint = f"at most {max(1, free // size)}, for each holds {size / 2**30:.2g} GiB of {free / 2**30:.2g} free"
        raise UsageError(expected("--workers", constraint, wanted, "Take fewer, or --backend local."))
    return ProcessBackend(spec, wanted)


def _weights_bytes(model: str) -> int:
    from safebasin.models.reference import resolve

    return sum(path.stat().st_size for path in resolve(model).folder.glob("*.safetensors"))


@dataclass(eq=False)
class _Child:
    """A worker as its owner sees it."""

    process: SpawnProcess
    connection: Connection
    todo: deque[Task] = field(default_factory=deque[Task])
    """What it will be given next, …"""
    task: Task | None = None
    """… and what it is at."""
    deaths: int = 0
    """How many workers have died of that task."""


class ProcessBackend:
    """Does tasks in worker processes, started by `spawn` when they are first needed.

    Args:
        spec: of the engine that each makes.
        workers: how many, ≥ 1.
    """

    def __init__(self, spec: EngineSpec, workers: int) -> None:
        self._spec = spec
        self._n = workers
        self._context = get_context("spawn")
        self._children: list[_Child] = []

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers that have been started."""
        return tuple(cast("int", child.process.pid) for child in self._children)

    def facts(self) -> EngineFacts:
        """Describe the first worker's engine, as it does itself."""
        return cast("EngineFacts", self._ask(("facts",)))

    def suggest_batch_size(self, n_prompts: int, max_new_tokens: int) -> int:
        """That of the first worker's engine, with the memory that is free while it is alone."""
        return cast("int", self._ask(("suggest_batch_size", n_prompts, max_new_tokens)))

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Results | Split]]:
        """Do tasks on all workers at once."""
        points = _by_point(tasks)
        idle = set(range(self._n))
        try:
            while True:
                # 1) Everybody who is idle gets a task, if there is one
                for number in sorted(idle):
                    if self._give(number, points):
                        idle.discard(number)
                if len(idle) == self._n:
                    return
                # 2) Wait for whoever answers, or dies, first
                busy = {child.connection: n for n, child in enumerate(self._children) if child.task is not None}
                for connection in wait(list(busy)):
                    number = busy[cast("Connection", connection)]
                    answer = self._answer(number)
                    if answer is None:
                        continue  # it was replaced, and is at it again
                    # 3) Hand the answer on, before the worker is given more
                    task = cast("Task", self._children[number].task)
                    self._children[number].task = None
                    idle.add(number)
                    if isinstance(answer, Split):
                        self._forget(task)
                    yield task, answer
        finally:
            self._drop_busy()

    def close(self) -> None:
        """End the workers: those that are idle by themselves."""
        for child in self._children:
            if child.task is None and child.process.is_alive():
                _send(child.connection, None)
        for child in self._children:
            if child.task is None:
                child.process.join(_GRACE)
            _end(child)
        self._children = []

    # --- handing out -------------------------------------------------------------------------------------------------

    def _give(self, number: int, points: Iterator[deque[Task]]) -> bool:
        """Hand a worker its next task; False where none is left for it."""
        todo = self._children[number].todo if number < len(self._children) else deque[Task]()
        # a worker stays at its point, then takes the next, then half of what another has left
        todo = todo or next(points, None) or self._half()
        if not todo:
            return False
        while number >= len(self._children):
            self._children.append(self._started())
        child = self._children[number]
        child.task, child.deaths = todo.popleft(), 0
        child.todo = todo
        _send(child.connection, child.task)
        return True

    def _half(self) -> deque[Task]:
        """Half of what the worker with the most has left, taken from it."""
        most = max(self._children, key=lambda child: len(child.todo), default=None)
        taken = deque[Task]()
        if most is not None:
            for _ in range((len(most.todo) + 1) // 2):
                taken.appendleft(most.todo.pop())  # from the end, in order: its owner is at the front
        return taken

    def _forget(self, split: Task) -> None:
        """Take back what is still to be generated at a point whose batches turned out too large."""
        for child in self._children:
            child.todo = deque(
                task for task in child.todo if not (isinstance(task, Generate) and task.point == split.point)
            )

    # --- workers -----------------------------------------------------------------------------------------------------

    def _started(self) -> _Child:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._spec), daemon=True)
        process.start()
        theirs.close()  # so that a worker that dies is noticed: nobody else holds its end
        return _Child(process=process, connection=cast("Connection", ours))

    def _answer(self, number: int) -> Results | Split | None:
        """What a worker says to its task; None where it died, and another has been given the task.

        Raises:
            ModelError: where too many have died of it.
        """
        child = self._children[number]
        try:
            return cast("Results | Split", _opened(child.connection.recv()))
        except (EOFError, OSError):
            child.process.join(_GRACE)
        if child.deaths + 1 >= MOST_DEATHS:
            remedy = "Memory may be short: take fewer --workers, or --backend local."
            constraint = "alive until their task is done"
            raise ModelError(expected("workers", constraint, f"{MOST_DEATHS} that ended with {_how(child)}", remedy))
        _log.warning("a worker ended with %s; a new one does its task again", _how(child))
        _end(child)
        fresh = self._started()
        fresh.todo, fresh.task, fresh.deaths = child.todo, child.task, child.deaths + 1
        self._children[number] = fresh
        _send(fresh.connection, fresh.task)
        return None

    def _ask(self, question: tuple[object, ...]) -> object:
        """Ask the first worker something that is no task."""
        if not self._children:
            self._children.append(self._started())
        child = self._children[0]
        _send(child.connection, question)
        try:
            return _opened(child.connection.recv())
        except (EOFError, OSError) as error:
            child.process.join(_GRACE)
            how = _how(child)
            _end(self._children.pop(0))
            remedy = "Memory may be short: take fewer --workers, or --backend local."
            raise ModelError(
                expected("worker", "alive until its model is loaded", f"one that ended with {how}", remedy)
            ) from error

    def _drop_busy(self) -> None:
        """End the workers that are still at something nobody waits for any more."""
        for child in self._children:
            child.todo.clear()
            if child.task is not None:
                _end(child)
        self._children = [child for child in self._children if child.task is None]


def _by_point(tasks: Iterable[Task]) -> Iterator[deque[Task]]:
    """Tasks as they come, those of a point together, a part at a time where it has many."""
    for _, group in groupby(tasks, key=lambda task: task.point):
        while part := deque(islice(group, TOGETHER)):
            yield part


def _how(child: _Child) -> str:
    code = child.process.exitcode
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def _end(child: _Child) -> None:
    child.process.kill()
    child.process.join()
    child.connection.close()


def _send(connection: Connection, what: object) -> None:
    with suppress(OSError):  # who is gone is noticed where an answer, or a task, is waited for
        connection.send(what)


def _opened(answer: tuple[bool, object]) -> object:
    """What a worker answered; raises what was raised there."""
    is_done, value = answer
    if is_done:
        return value
    raise cast("BaseException", value)


# --- in the worker ---------------------------------------------------------------------------------------------------


def _serve(connection: Connection, spec: EngineSpec) -> None:
    """Do what comes through a connection, until None comes or the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the owner, who then ends the workers
    served: _Served | None = None
    while True:
        try:
            asked = connection.recv()
        except (EOFError, OSError):
            return
        if asked is None:
            return
        try:
            served = served or _Served(spec)
            answer = True, served.answer(asked)
        except Exception as error:  # whatever it is, it is raised where the task was given
            answer = False, _sendable(error)
        _send(connection, answer)


class _Served:
    """The engine of a worker process, and the worker."""

    def __init__(self, spec: EngineSpec) -> None:
        self.engine = catalog.open_engine(spec)
        self.worker = Worker(self.engine)

    def answer(self, asked: object) -> object:
        if isinstance(asked, tuple):
            name, *arguments = cast("tuple[str, *tuple[object, ...]]", asked)
            return getattr(self.engine, name)(*arguments)
        return self.worker.do(cast("Task", asked))


def _sendable(error: Exception) -> Exception:
    """An error that survives the way: with its trace where it is a defect, by its words where it cannot be pickled."""
    if not isinstance(error, UsageError):
        error.add_note(traceback.format_exc())
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever an exception's own constructor raises
        kind = UsageError if isinstance(error, UsageError) else RuntimeError
        return kind(str(error))
    return error
