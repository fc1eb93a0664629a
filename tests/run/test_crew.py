"""A crew whose workers are in this process: who gets which task where one dies, or was never there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import pytest

from safebasin import catalog
from safebasin.errors import ModelError
from safebasin.protocols import EngineSpec, Generate, Results, Split, Task
from safebasin.records import Decoding, DirectionSpec, Message, Point, Prompt, System
from safebasin.run import ending
from safebasin.run.crew import Answered, Crew, Gone, Hand, NoRoom, Served, held

SCRIPTED = EngineSpec(engine="scripted", model="world:guild/aligned")
LINE = DirectionSpec(kind="random", seed=1)


def tasks(n_points: int) -> list[Task]:
    """Two batches at each of some points."""
    asked = [Prompt(messages=(Message(role="user", content=f"How are {n} jars weighed?"),)) for n in range(4)]
    return [
        Generate(point=Point.at((LINE, 0.2 * at)), system=System(name="default"), prompts=tuple(part),
                 decoding=Decoding(max_new_tokens=12), batch=n)
        for at in range(n_points) for n, part in enumerate((asked[:2], asked[2:]))
    ]  # fmt: skip


class Here:
    """A hand that does its work when it is asked for the answer, or ends as it is told to."""

    def __init__(self, number: int, ending: type[Gone] | None) -> None:
        self.number, self.ending, self.done = number, ending, 0
        self._served, self._given = Served(SCRIPTED), None
        self.is_ended = False

    def give(self, what: object) -> None:
        self._given = what

    def take(self) -> Answered:
        if self.ending is not None:
            raise self.ending(f"worker {self.number} is gone")
        self.done += 1
        return self._served.answer(self._given)

    def end(self, *, kindly: bool) -> None:
        del kindly
        self.is_ended = True


@dataclass
class Room:
    """A workshop in this process: the hands that it starts end as `endings` say, the others work."""

    endings: Sequence[type[Gone] | None] = ()
    remedy: str = "Take fewer."
    started: list[Here] = field(default_factory=list)
    held: str = ""

    def start(self) -> Hand:
        n = len(self.started)
        self.started.append(Here(n, self.endings[n] if n < len(self.endings) else None))
        return self.started[-1]

    def wait(self, hands: Sequence[Hand]) -> Sequence[Hand]:
        return hands[-1:]

    def hold(self, dtype: str) -> None:
        self.held = dtype

    def close(self) -> None:
        pass


def local(given: list[Task]) -> dict[Task, Results | Split]:
    return dict(catalog.open_backend("local", SCRIPTED).run(iter(given)))


@pytest.mark.parametrize(
    ("endings", "started"),
    [((), 3), ((None, Gone), 4), ((None, NoRoom), 3), ((NoRoom, None, NoRoom), 3), ((Gone, NoRoom, None, None), 4)],
)
def test_everything_is_done_once_whoever_goes(endings: tuple[type[Gone] | None, ...], started: int) -> None:
    room, given = Room(endings), tasks(7)
    found = list(Crew(room, 3).run(iter(given)))
    assert sorted(map(id, (task for task, _ in found))) == sorted(map(id, given))
    assert dict(found) == local(given)
    assert len(room.started) == started
    assert all(hand.is_ended for hand in room.started if hand.ending)


def test_a_worker_that_there_is_no_room_for_gets_nothing_more() -> None:
    room = Room((None, NoRoom))
    crew = Crew(room, 2)
    dict(crew.run(iter(tasks(3))))
    assert [hand.done for hand in room.started] == [6, 0]
    assert dict(crew.run(iter(tasks(2)))) == local(tasks(2)), "the next tasks find it tried again"
    assert len(room.started) == 3


@pytest.mark.parametrize(("ending", "said"), [(NoRoom, r"^worker 0 is gone$"), (Gone, "3 that ended with worker 4")])
def test_where_everybody_goes_it_is_an_error(ending: type[Gone], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        dict(Crew(Room((ending,) * 20), 3).run(iter(tasks(7))))


def test_a_first_worker_that_is_not_there() -> None:
    with pytest.raises(ModelError, match=r"^worker 0 is gone$"):
        Crew(Room((NoRoom,)), 2).facts()
    with pytest.raises(ModelError, match="alive until its model is loaded; got 'one that ended with worker 0 is gone'"):
        Crew(Room((Gone,)), 2).facts()


def test_later_workers_load_what_the_first_settled() -> None:
    room = Room()
    assert Crew(room, 2).facts().dtype == room.held == "float32"
    settled = held(EngineSpec(model="m"), "bfloat16")
    assert settled.dtype == held(settled, "float32").dtype == "bfloat16", "what is asked for stays"
    assert held(EngineSpec(model="m"), "int4 of its own").dtype == "auto"
    assert held(SCRIPTED, "float32").dtype == "auto", "what other engines mean by it, each says itself"


class EndedError(Exception):
    """What the wish of the next test raises."""


def test_nothing_more_is_handed_out_once_the_run_is_to_end() -> None:
    def end() -> NoReturn:
        raise EndedError

    found = list[Task]()

    @ending.batches()
    def run() -> None:
        for task, _ in Crew(Room(), 2).run(iter(tasks(7))):
            found.append(task)
            ending.wish(end)

    with pytest.raises(EndedError):
        run()
    assert len(found) == 2, "what both had in hand"


def test_who_is_gone_once_the_run_is_to_end_is_not_replaced() -> None:
    def end() -> NoReturn:
        raise EndedError

    room, found = Room((Gone, None)), list[Task]()

    @ending.batches()
    def run() -> None:
        for task, _ in Crew(room, 2).run(iter(tasks(7))):
            found.append(task)
            ending.wish(end)

    with pytest.raises(EndedError):
        run()
    assert len(room.started) == 2
    assert room.started[0].is_ended
    assert len(found) == 1, "what the other had in hand"


class Failing(Here):
    """A hand whose engine cannot do its task."""

    def take(self) -> Answered:
        return False, ModelError("cannot be done")


class Together(Room):
    """A workshop whose first worker fails, while all the others have answered too."""

    def start(self) -> Hand:
        n = len(self.started)
        self.started.append(Here(n, None) if n else Failing(n, None))
        return self.started[-1]

    def wait(self, hands: Sequence[Hand]) -> Sequence[Hand]:
        return hands


def test_what_others_have_done_is_handed_on_before_an_error_is_raised() -> None:
    found, room = list[Task](), Together()
    with pytest.raises(ModelError, match="cannot be done"):
        found.extend(task for task, _ in Crew(room, 3).run(iter(tasks(5))))
    assert found == [tasks(5)[2], tasks(5)[4]]
    assert room.started[0].is_ended
