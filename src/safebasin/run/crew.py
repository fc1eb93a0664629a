"""A crew of workers, each with an engine of its own: who gets which task, and what is done where a worker dies.

The tasks of a point go to one worker, so that weights are moved once; a worker without any takes over half of what
another has left. A worker that dies is replaced and its task done again: nothing is lost but the time. A task holds all
that it takes and a point is the same on every worker, so results are those of one process, bit for bit. Where workers
are, and how they are reached, is the business of a `Workshop`.
"""

from __future__ import annotations

import logging
import pickle
import traceback
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from typing import Protocol, cast

from safebasin import catalog
from safebasin.errors import ModelError, UsageError, expected
from safebasin.models.sizes import ITEMSIZE
from safebasin.protocols import EngineFacts
from safebasin.protocols.backends import EngineSpec, Generate, GenerateTogether, Results, Split, Task
from safebasin.run.ending import is_wished
from safebasin.run.full_disk import full_disk
from safebasin.run.worker import Worker

__all__ = ["Crew", "Gone", "Hand", "NoRoom", "Served", "Workshop", "held"]

_log = logging.getLogger(__name__)
MOST_DEATHS = 3
"""How often a task is begun whose worker dies."""
TOGETHER = 64
"""Tasks that are given to one worker at once, at most: no more are waiting in memory."""

Answered = tuple[bool, object]
"""True and what came of it, or False and the error that was raised."""


class Gone(Exception):
    """A worker is no more; says how it ended."""


class NoRoom(Gone):
    """A worker was never there: nowhere is room for it. The others do its work."""


class Hand(Protocol):
    """One worker, as whoever gives it work sees it. What it is given, `Served.answer` does on the other side."""

    def give(self, what: object) -> None:
        """Give it something to do. Raises nothing: that it is gone is seen where its answer is waited for."""
        ...

    def take(self) -> Answered:
        """Wait for its answer.

        Raises:
            Gone: where there will be none.
        """
        ...

    def end(self, *, kindly: bool) -> None:
        """End it: let it finish by itself, or not."""
        ...


class Workshop(Protocol):
    """A place where workers are."""

    remedy: str
    """What to do where workers die again and again."""

    def start(self) -> Hand:
        """Start a worker."""
        ...

    def wait(self, hands: Sequence[Hand]) -> Sequence[Hand]:
        """Wait until at least one of some busy workers has an answer or is gone; returns those."""
        ...

    def hold(self, dtype: str) -> None:
        """Have workers that start from now on load their model in this dtype, where theirs would be `auto`."""
        ...

    def close(self) -> None:
        """Let go of it, after its workers have ended."""
        ...


@dataclass(eq=False)
class _Member:
    """A worker of the crew."""

    hand: Hand
    todo: deque[Task] = field(default_factory=deque[Task])
    """What it will be given next, …"""
    task: Task | None = None
    """… and what it is at."""
    deaths: int = 0
    """How many workers have died of that task."""
    is_out: bool = False
    """Whether there is no room for it, or it is gone and the run is to end: it gets nothing any more."""


class Crew:
    """Does tasks by several workers, started when they are first needed: a backend.

    Args:
        workshop: where they are.
        size: how many, ≥ 1.
    """

    def __init__(self, workshop: Workshop, size: int) -> None:
        self._workshop = workshop
        self._size = size
        self._members: list[_Member] = []
        self._left: deque[deque[Task]] = deque()
        """What was given to workers for which there is no room."""

    @property
    def hands(self) -> tuple[Hand, ...]:
        """The workers that have been started."""
        return tuple(member.hand for member in self._members)

    def facts(self) -> EngineFacts:
        """Describe the first worker's engine, as it does itself; no later one settles its dtype anew."""
        facts = cast("EngineFacts", self._ask(("facts",)))
        self._workshop.hold(facts.dtype)
        return facts

    def suggest_batch_size(self, n_prompts: int, max_new_tokens: int) -> int:
        """That of the first worker's engine, with the memory that is free while it is alone."""
        return cast("int", self._ask(("suggest_batch_size", n_prompts, max_new_tokens)))

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Results | Split]]:
        """Do tasks on all workers at once."""
        points = _by_point(tasks)
        idle = set(range(self._size))
        try:
            while True:
                # 1) Everybody who is idle gets a task, if there is one
                for number in sorted(idle):
                    if self._give(number, points):
                        idle.discard(number)
                # 2) Wait for whoever answers, or dies, first
                busy = {id(member.hand): n for n, member in enumerate(self._members) if member.task is not None}
                if not busy:
                    return
                failed: Exception | None = None
                for hand in self._workshop.wait([self._members[n].hand for n in busy.values()]):
                    number = busy[id(hand)]
                    try:
                        answer = self._answer(number)
                    except Exception as error:  # raised once what others have done is handed on: that is not lost
                        failed = failed or error
                        continue
                    if answer is None:
                        continue  # another is at it, or will be
                    # 3) Hand the answer on, before the worker is given more
                    task = cast("Task", self._members[number].task)
                    self._members[number].task = None
                    idle.add(number)
                    if isinstance(answer, Split):
                        self._forget(task)
                    yield task, answer
                if failed is not None:
                    raise failed
        finally:
            self._drop_busy()

    def close(self) -> None:
        """End the workers: those that are idle by themselves."""
        for member in self._members:
            member.hand.end(kindly=member.task is None)
        self._members = []
        self._workshop.close()

    # --- handing out -------------------------------------------------------------------------------------------------

    def _give(self, number: int, points: Iterator[deque[Task]]) -> bool:
        """Hand a worker its next task; False where none is left for it, or the run is to end."""
        if is_wished():
            return False
        todo = self._members[number].todo if number < len(self._members) else deque[Task]()
        # a worker stays at its point, then takes what was left, the next, or half of what another has
        todo = todo or (self._left.popleft() if self._left else None) or next(points, None) or self._half()
        if not todo:
            return False
        while number >= len(self._members):
            self._members.append(_Member(self._workshop.start()))
        member = self._members[number]
        member.task, member.deaths = todo.popleft(), 0
        member.todo = todo
        member.hand.give(member.task)
        return True

    def _half(self) -> deque[Task]:
        """Half of what the worker with the most has left, taken from it."""
        most = max(self._members, key=lambda member: len(member.todo), default=None)
        taken = deque[Task]()
        if most is not None:
            for _ in range((len(most.todo) + 1) // 2):
                taken.appendleft(most.todo.pop())  # from the end, in order: its owner is at the front
        return taken

    def _forget(self, split: Task) -> None:
        """Take back what is still to be generated at a point whose batches turned out too large."""
        for member in self._members:
            member.todo = _without(member.todo, split)
        self._left = deque(todo for left in self._left if (todo := _without(left, split)))

    # --- workers -----------------------------------------------------------------------------------------------------

    def _answer(self, number: int) -> Results | Split | None:
        """What a worker says to its task; None where it died or never was, and the task is another's or the next run's.

        Raises:
            ModelError: where too many have died of it, or there is room for nobody.
        """
        member = self._members[number]
        try:
            return cast("Results | Split", _opened(member.hand.take()))
        except NoRoom as none:
            self._leave_out(member, none)
            return None
        except Gone as gone:
            how = str(gone)
        if is_wished():  # whoever ends the job may have ended this worker: its task is one for the next run
            member.hand.end(kindly=False)
            member.task, member.is_out = None, True
            member.todo.clear()
            return None
        if member.deaths + 1 >= MOST_DEATHS:
            constraint = "alive until their task is done"
            got = f"{MOST_DEATHS} that ended with {how}"
            raise ModelError(expected("workers", constraint, got, self._workshop.remedy))
        _log.warning("a worker ended with %s; a new one does its task again", how)
        member.hand.end(kindly=False)
        fresh = _Member(self._workshop.start(), member.todo, member.task, member.deaths + 1)
        self._members[number] = fresh
        fresh.hand.give(fresh.task)
        return None

    def _leave_out(self, member: _Member, none: NoRoom) -> None:
        """Go on without a worker, if there are others."""
        member.hand.end(kindly=False)
        if all(other.is_out for other in self._members if other is not member):
            raise ModelError(str(none)) from none
        _log.warning("going on with fewer workers: %s", none)
        self._left.append(deque([cast("Task", member.task), *member.todo]))
        member.task, member.is_out = None, True
        member.todo.clear()

    def _ask(self, question: tuple[object, ...]) -> object:
        """Ask the first worker something that is no task."""
        if not self._members:
            self._members.append(_Member(self._workshop.start()))
        hand = self._members[0].hand
        hand.give(question)
        self._workshop.wait([hand])
        try:
            return _opened(hand.take())
        except Gone as gone:
            self._members.pop(0).hand.end(kindly=False)
            if isinstance(gone, NoRoom):
                raise ModelError(str(gone)) from gone
            constraint = "alive until its model is loaded"
            got = f"one that ended with {gone}"
            raise ModelError(expected("worker", constraint, got, self._workshop.remedy)) from gone

    def _drop_busy(self) -> None:
        """End the workers that are still at something nobody waits for any more."""
        for member in self._members:
            member.todo.clear()
            if member.task is not None:
                member.hand.end(kindly=False)
        self._members = [member for member in self._members if member.task is None and not member.is_out]
        self._left.clear()


def _by_point(tasks: Iterable[Task]) -> Iterator[deque[Task]]:
    """Tasks as they come, those of a point together, a part at a time where it has many."""
    for _, group in groupby(tasks, key=lambda task: task.point):
        while part := deque(islice(group, TOGETHER)):
            yield part


def _without(todo: deque[Task], split: Task) -> deque[Task]:
    """What is left of some tasks once the batches of a point are to be cut: all but those to be generated there."""
    kinds = (Generate, GenerateTogether)
    return deque(task for task in todo if not (isinstance(task, kinds) and task.point == split.point))


def _opened(answer: Answered) -> object:
    """What a worker answered; raises what was raised there."""
    is_done, value = answer
    if is_done:
        return value
    raise cast("BaseException", value)


# --- on the other side -----------------------------------------------------------------------------------------------


def held(spec: EngineSpec, dtype: str) -> EngineSpec:
    """The engine of later workers, once the first has said in which dtype it computes; of `hf` alone."""
    return replace(spec, dtype=dtype) if (spec.engine, spec.dtype) == ("hf", "auto") and dtype in ITEMSIZE else spec


class Served:
    """The engine of a worker, made when it is first needed, and whatever is asked of it."""

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec
        self._worker: Worker | None = None

    def answer(self, asked: object) -> Answered:
        """Do a task, or answer a question `(method of the engine, *arguments)`; never raises."""
        try:
            if self._worker is None:
                self._engine = catalog.open_engine(self._spec)
                self._worker = Worker(self._engine)
            if isinstance(asked, tuple):
                name, *arguments = cast("tuple[str, *tuple[object, ...]]", asked)
                return True, getattr(self._engine, name)(*arguments)
            return True, self._worker.do(cast("Task", asked))
        except Exception as error:  # whatever it is, it is raised where the task was given
            return False, _sendable(full_disk(error) or error)


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
