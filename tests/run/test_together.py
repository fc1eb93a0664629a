"""Points that are asked together: who stands with whom, whatever is left to do, and who is asked so at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.models import make_lora
from safebasin import study
from safebasin.engines.scripted import ScriptedEngine
from safebasin.errors import ModelError, UsageError
from safebasin.landscape.stored import StoredStudy
from safebasin.landscape.sweep import read_sweep
from safebasin.models.reference import resolve
from safebasin.protocols import UNMERGED, EngineFacts, Generate, GenerateTogether, Generation, Split
from safebasin.records import Decoding, DirectionSpec, Message, Point, Prompt, System
from safebasin.run.execute import measure
from safebasin.run.inputs import gather
from safebasin.run.together import bundled, lines_of, tasks_in
from safebasin.run.worker import Worker
from safebasin.store.db import StudyStore
from safebasin.testing import check_engine

GUILD = "world:guild/aligned"
RANDOM = {"range": "-0.5:0.5:3", "directions": 1}


def say_where(conversation: Sequence[Message], point: Point) -> str:
    return f"{conversation[-1].content} {point.key}"


class Beside(ScriptedEngine):
    """Serves points along some directions three at a time; `largest_batch` is that of one point."""

    def __init__(self, *lines: DirectionSpec, at_once: int = 3, **given: Any) -> None:
        super().__init__(say_where, **given)
        self._lines, self._at_once = lines, at_once
        self.together: list[list[float]] = []

    def facts(self) -> EngineFacts:
        plain = super().facts()
        if not self._lines:
            return plain
        details = {"adapters": {"unmerged": [spec.label() for spec in self._lines], "merged": {}}}
        name = f"scripted({UNMERGED})"
        return replace(plain, engine=name, unmerged=self._lines, at_once=self._at_once, details=details)

    def generate_together(
        self, points: Sequence[Point], conversations: Sequence[Sequence[Sequence[Message]]], decoding: Decoding
    ) -> list[list[Generation]]:
        self.together.append([alpha for point in points for _, alpha in point.terms])
        found: list[list[Generation]] = []
        for point, asked in zip(points, conversations, strict=True):
            self.move_to(point)
            found.append(self.generate(asked, decoding))
        self.move_to(Point())
        return found


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lora(tmp_path_factory.mktemp("a") / "lora", resolve(GUILD).folder, rank=2)


def line(adapter: Path, grid: str = "0:1:6", **keys: Any) -> study.Study:
    axis = {"kind": "adapter", "target": str(adapter), "range": grid}
    given = {"model": GUILD, "axes": [axis], "limit": 4, "batch_size": 2, "judges": ["refusal"]}
    return study.make({**given, "decoding": {"max_new_tokens": 24, "stop": "none"}, **keys})


def spec_of(made: study.Study) -> DirectionSpec:
    return gather(made).regions[0].axes[0].directions[0]


def first_point(made: study.Study) -> Point:
    (region,) = gather(made).regions
    return region.point(next(region.grid()))


def lose(folder: Path, point: Point, most: str = "") -> None:
    """Take responses of a point away, with what was said of them."""
    with StudyStore.open(folder) as store, store.transaction() as db:
        keys = db.execute(f"SELECT key FROM responses WHERE point = ?{most}", (point.key,)).fetchall()
        for table, column in (("verdicts", "response"), ("scores", "response"), ("responses", "key")):
            db.executemany(f"DELETE FROM {table} WHERE {column} = ?", keys)


def texts(folder: Path) -> dict[tuple[str, str], str]:
    with StudyStore.open(folder) as store:
        return {(r.point, r.prompt): r.text for r in store.responses()}


def test_the_points_of_a_line_are_asked_together_and_give_what_each_gives_alone(adapter: Path, tmp_path: Path) -> None:
    made = line(adapter)
    engine = Beside(spec_of(made))
    folder = measure(made, tmp_path / "s", engine=engine)
    assert engine.together == [[0.2, 0.4, 0.6]] * 2 + [[0.8, 1.0]] * 2, "two batches of prompts at each group"
    assert texts(folder) == texts(measure(made, tmp_path / "alone", engine=Beside(spec_of(made), at_once=1)))
    assert len(texts(folder)) == 6 * 4


def test_what_a_kill_leaves_is_decoded_beside_the_same_points(adapter: Path, tmp_path: Path) -> None:
    made = line(adapter)
    folder = measure(made, tmp_path / "s", engine=Beside(spec_of(made)))
    whole = texts(folder)
    lose(folder, first_point(made), " LIMIT 1")
    again = Beside(spec_of(made))
    measure(made, folder, engine=again)
    assert again.together == [[0.2, 0.4, 0.6]], "the whole group, and no other batch of prompts"
    assert texts(folder) == whole


def test_points_that_come_later_make_groups_of_their_own(adapter: Path, tmp_path: Path) -> None:
    folder = measure(line(adapter, "0:1:3"), tmp_path / "s", engine=Beside(spec_of(line(adapter))))
    finer = Beside(spec_of(line(adapter)))
    measure(line(adapter, "0:1:5"), folder, engine=finer)
    assert finer.together == [[0.25, 0.75]] * 2


def test_points_that_were_answered_without_a_group_stay_alone(adapter: Path, tmp_path: Path) -> None:
    made = line(adapter)
    folder = measure(made, tmp_path / "s", engine=Beside(spec_of(made), at_once=1))
    lose(folder, first_point(made), " LIMIT 1")
    later = Beside(spec_of(made))
    measure(line(adapter, "0:1:11"), folder, engine=later)
    assert later.together == [[0.1, 0.3, 0.5]] * 2 + [[0.7, 0.9]] * 2
    assert len(texts(folder)) == 11 * 4


def test_where_memory_is_short_the_whole_group_is_asked_in_smaller_batches(adapter: Path, tmp_path: Path) -> None:
    made = line(adapter, batch_size=4)
    engine = Beside(spec_of(made), largest_batch=2)
    folder = measure(made, tmp_path / "s", engine=engine)
    assert engine.together[-2:] == [[0.8, 1.0]] * 2
    assert len(texts(folder)) == 6 * 4
    with StudyStore.open(folder) as store:
        split = [store.meta(key) for key in store.meta_keys() if key.startswith("split:")]
    assert split == ["2"] * 6


def test_an_engine_that_never_minds_its_batch_is_asked_what_is_missing_alone(adapter: Path, tmp_path: Path) -> None:
    made = line(adapter)
    folder = measure(made, tmp_path / "s", engine=Beside(spec_of(made), batch_invariant=True))
    lose(folder, first_point(made))
    again = Beside(spec_of(made), batch_invariant=True)
    measure(made, folder, engine=again)
    assert again.together == []
    assert len(texts(folder)) == 6 * 4


def test_lines_are_told_and_planes_are_not(adapter: Path, tmp_path: Path) -> None:
    regions = gather(line(adapter)).regions
    assert lines_of(regions, tmp_path / "not-there") == (spec_of(line(adapter)),)
    plane = [{"kind": "adapter", "target": str(adapter), "range": "0:1:2"}, RANDOM]
    made = study.make({"model": GUILD, "regions": [{"name": "p", "axes": plane}]})
    assert lines_of(gather(made).regions) == ()


def test_a_folder_goes_on_as_it_began(adapter: Path, tmp_path: Path) -> None:
    made = line(adapter)
    merged = measure(made, tmp_path / "merged", engine=Beside())
    beside = measure(made, tmp_path / "beside", engine=Beside(spec_of(made)))
    regions = gather(made).regions
    assert lines_of(regions, merged) == ()
    assert lines_of(regions, beside) == (spec_of(made),)
    with pytest.raises(UsageError, match=r"engine scripted\(adapters=unmerged\), now scripted"):
        measure(line(adapter, "0:1:11"), beside, engine=Beside())
    with pytest.raises(UsageError, match=r"engine scripted, now scripted\(adapters=unmerged\)"):
        measure(line(adapter, "0:1:11"), merged, engine=Beside(spec_of(made)))


def test_the_report_says_that_points_were_served_unmerged(adapter: Path, tmp_path: Path) -> None:
    from safebasin import api

    made = line(adapter)
    folder = measure(made, tmp_path / "beside", engine=Beside(spec_of(made)))
    (said,) = [note for note in api.read_study(folder).notes if "unmerged" in note]
    assert str(adapter) in said
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["decoding"]["engine"] == f"scripted({UNMERGED})"
    with StoredStudy.open(folder) as stored:
        assert said in read_sweep(stored, {}).notes
    plain = measure(made, tmp_path / "merged", engine=Beside())
    assert not [note for note in api.read_study(plain).notes if "unmerged" in note]


PROMPTS = tuple(Prompt(messages=(Message(role="user", content=f"Weigh {n} jars."),)) for n in range(3))
SPEC = DirectionSpec(kind="adapter", target="a")
NEAR, FAR = Point.at((SPEC, 0.5)), Point.at((SPEC, 1.0))


def task(point: Point, prompts: Sequence[Prompt] = PROMPTS, **given: Any) -> Generate:
    how = Decoding(max_new_tokens=12)
    return Generate(point=point, system=System(name="default"), prompts=tuple(prompts), decoding=how, **given)


def test_tasks_of_other_points_stay_where_they_are() -> None:
    origin = task(Point())
    tasks = (origin, task(NEAR), task(NEAR, batch=1), task(FAR), task(FAR, batch=1))
    found = bundled(tasks, ((NEAR, FAR),))
    assert found == (origin, GenerateTogether(tasks=tasks[1::2]), GenerateTogether(tasks=tasks[2::2]))
    assert [one for bundle in found for one in tasks_in(bundle)] == [tasks[i] for i in (0, 1, 3, 2, 4)]
    assert bundled(tasks, ()) == tasks
    assert bundled((tasks[3],), ((NEAR, FAR),), tasks) == found[1:2]


def test_a_worker_gives_back_task_after_task() -> None:
    both = GenerateTogether(tasks=(task(NEAR), task(FAR, PROMPTS[:2])))
    engine = Beside(SPEC)
    assert [g.text for g in Worker(engine).do(both)] == [
        f"{prompt.text} {one.point.key}" for one in both.tasks for prompt in one.prompts
    ]
    halves = GenerateTogether(tasks=tuple(replace(one, split=2) for one in both.tasks))
    assert Worker(engine).do(halves) == Worker(engine).do(both)
    assert Worker(Beside(SPEC, largest_batch=1)).do(both) == Split(factor=2)
    one = GenerateTogether(tasks=(task(NEAR, PROMPTS[:1]), task(FAR, PROMPTS[:1])))
    with pytest.raises(ModelError, match="one prompt must be small enough"):
        Worker(Beside(SPEC, largest_batch=0)).do(one)


def test_an_engine_that_cannot_is_named() -> None:
    with pytest.raises(ModelError, match="several points at once; got 'ScriptedEngine'"):
        Worker(ScriptedEngine()).do(GenerateTogether(tasks=(task(NEAR), task(FAR))))


def test_what_is_said_of_such_an_engine_is_checked() -> None:
    check_engine(Beside(SPEC))

    class Mixed(Beside):
        def generate_together(self, points: Any, conversations: Any, decoding: Any) -> Any:
            return super().generate_together(points, conversations, decoding)[::-1]

    class Left(Beside):
        def generate_together(self, points: Any, conversations: Any, decoding: Any) -> Any:
            found = super().generate_together(points, conversations, decoding)
            self.move_to(points[0])
            return found

    class Unnamed(Beside):
        def facts(self) -> EngineFacts:
            return replace(super().facts(), engine="scripted")

    for engine, words in (
        (Mixed(SPEC), "each point by itself"),
        (Left(SPEC), "asked together"),
        (Unnamed(SPEC), UNMERGED),
    ):
        with pytest.raises(AssertionError, match=words):
            check_engine(engine)
