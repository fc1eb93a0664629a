"""Tasks: self-contained and picklable, done by whoever has an engine; too little memory is data that comes back."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from safebasin import study
from safebasin.engines.scripted import ScriptedEngine
from safebasin.errors import ModelError
from safebasin.protocols import Generate, Inspect, Measure, ReadText, RunTasks, ScoreTexts, Split, Trace
from safebasin.records import Decoding, DirectionSpec, Message, Point, Prompt, System
from safebasin.run.execute import measure
from safebasin.run.worker import Worker
from safebasin.store.db import StudyStore

AWAY = Point.at((DirectionSpec(kind="random", seed=1), 0.5))
PROMPTS = tuple(Prompt(messages=(Message(role="user", content=f"Weigh {n} jars."),)) for n in range(5))
SYSTEM = System(name="default")
HOW = Decoding(max_new_tokens=12)


def generate(point: Point = AWAY, *, split: int = 1) -> Generate:
    return Generate(point=point, system=SYSTEM, prompts=PROMPTS, decoding=HOW, split=split)


@pytest.mark.parametrize(
    "task",
    [
        generate(),
        ScoreTexts(point=AWAY, system=SYSTEM, prompts=PROMPTS[:1], texts=("Twice.",), decoding=HOW),
        Measure(point=AWAY, of=ReadText(name="tea", text="Let it draw.", max_tokens=9)),
        Measure(point=AWAY, of=RunTasks(tasks=("brew",))),
        Trace(folder="run", regions=()),
        Inspect(system=SYSTEM, prompts=PROMPTS, decoding=HOW, date="2026-01-30"),
    ],
    ids=lambda task: type(task).__name__,
)
def test_a_task_is_a_value_that_crosses_processes(task: object) -> None:
    crossed = pickle.loads(pickle.dumps(task))
    assert crossed == task
    assert hash(crossed) == hash(task)


def test_a_worker_goes_where_its_tasks_are() -> None:
    engine = ScriptedEngine(lambda asked, point: f"{asked[-1].content} {point.key}")
    worker = Worker(engine)
    for point in (AWAY, Point(), AWAY):
        rows = worker.do(generate(point))
        assert [r.text for r in rows] == [f"{p.text} {point.key}" for p in PROMPTS]


def test_memory_that_is_short_comes_back_as_data() -> None:
    worker = Worker(ScriptedEngine(largest_batch=2))
    assert worker.do(generate()) == Split(factor=2)
    assert worker.do(generate(split=2)) == Split(factor=4)
    whole = Worker(ScriptedEngine()).do(generate())
    assert worker.do(generate(split=4)) == whole
    with pytest.raises(ModelError, match="one prompt must be small enough for the memory"):
        Worker(ScriptedEngine(largest_batch=0)).do(generate(split=8))


def test_scores_are_halved_where_memory_is_short() -> None:
    task = ScoreTexts(point=AWAY, system=SYSTEM, prompts=PROMPTS, texts=("Twice, then rest.",) * 5, decoding=HOW)
    engine = ScriptedEngine(largest_batch=2)
    assert Worker(engine).do(task) == Worker(ScriptedEngine()).do(task)
    assert max(rows for _, rows in engine.calls[3:]) == 2
    with pytest.raises(MemoryError):
        Worker(ScriptedEngine(largest_batch=0)).do(task)


@pytest.mark.parametrize(
    "task",
    [
        Measure(point=AWAY, of=ReadText(name="tea", text="Let it draw.", max_tokens=9)),
        Measure(point=AWAY, of=RunTasks(tasks=("brew",))),
        Trace(folder="run", regions=()),
    ],
    ids=["text", "tasks", "trajectory"],
)
def test_what_needs_tensors_names_the_engine_that_has_none(task: Measure | Trace) -> None:
    with pytest.raises(ModelError, match=r"engine must be one whose model is in this process.*got 'ScriptedEngine'"):
        Worker(ScriptedEngine()).do(task)


# --- the driver ------------------------------------------------------------------------------------------------------


def mapped(folder: Path, engine: ScriptedEngine, **keys: object) -> dict[str, str]:
    """Response key → text of a study of four prompts in one batch at three points, but for keys that say otherwise."""
    made = study.make(
        {
            "model": "world:guild/aligned",
            "prompts": [{"source": "world:guild/harmful"}],
            "limit": 4,
            "axes": [{"range": "-1:1:3", "directions": 1}],
            "judges": ["keyword/peng2024"],
            "batch_size": 4,
            **keys,
        }
    )
    with StudyStore.open(measure(made, folder, engine=engine)) as store:
        return {r.key: r.text for r in store.responses()}


class Cramped(ScriptedEngine):
    """Has room for one row at α = 1, and for all elsewhere."""

    def generate(self, conversations, decoding):  # type: ignore[no-untyped-def]
        self._largest = 1 if any(alpha == 1 for _, alpha in self.point.terms) else None
        return super().generate(conversations, decoding)


@pytest.mark.parametrize("batch_invariant", [False, True])
def test_a_point_without_room_is_done_again_in_smaller_batches(tmp_path: Path, batch_invariant: bool) -> None:
    plenty, cramped = ScriptedEngine(), Cramped(batch_invariant=batch_invariant)
    assert mapped(tmp_path / "cramped", cramped) == mapped(tmp_path / "plenty", plenty)
    assert [rows for kind, rows in cramped.calls if kind == "generate"] == [4, 4, 4, 2, 1, 1, 1, 1]
    with StudyStore.open(tmp_path / "cramped") as store, store.reading() as db:
        assert db.execute("SELECT value FROM meta WHERE key LIKE 'split:%'").fetchall() == [("4",)]


class Ended(ScriptedEngine):
    """Has room for the first batch at α = 1 and not for the second, and is ended when that point is begun anew."""

    def generate(self, conversations, decoding):  # type: ignore[no-untyped-def]
        if any(alpha == 1 for _, alpha in self.point.terms):
            done = sum(kind == "generate" and point == self.point.key for kind, point in self.asked)
            self.asked.append(("generate", self.point.key))
            if done == 1:
                raise MemoryError
            if done > 1:
                raise KeyboardInterrupt
        return super().generate(conversations, decoding)

    asked: list[tuple[str, str]]


def test_what_was_decoded_in_batches_that_proved_too_large_is_forgotten_at_once(tmp_path: Path) -> None:
    engine = Ended()
    engine.asked = []
    with pytest.raises(KeyboardInterrupt):
        mapped(tmp_path / "study", engine, batch_size=2)
    with StudyStore.open(tmp_path / "study") as store:
        left = {r.point for r in store.responses()}
    assert len(engine.asked) == 3
    assert engine.asked[0][1] not in left
    assert left


def test_sets_share_their_batches(tmp_path: Path) -> None:
    class Counting(ScriptedEngine):
        def suggest_batch_size(self, n_prompts: int, max_new_tokens: int) -> int:
            offered.append(n_prompts)
            return n_prompts

    offered: list[int] = []
    sets = ["world:guild/harmful[:4]", "world:guild/harmful[2:6]", "world:guild/benign[:3]"]
    engine = Counting()
    mapped(tmp_path / "study", engine, prompts=[{"name": str(i), "source": s} for i, s in enumerate(sets)],
           batch_size="auto")  # fmt: skip
    assert offered == [9, 128]
    assert {rows for kind, rows in engine.calls if kind == "generate"} == {9}


def test_a_text_that_could_not_be_decoded_to_its_end_is_nothing_to_be_surprised_at(tmp_path: Path) -> None:
    class Broken(ScriptedEngine):
        def generate(self, conversations, decoding):  # type: ignore[no-untyped-def]
            return [replace(g, broken="nan logits") for g in super().generate(conversations, decoding)]

    engine = Broken()
    texts = mapped(tmp_path / "study", engine, judges=["outcome"])
    with StudyStore.open(tmp_path / "study") as store:
        scores = list(store.scores(texts).values())
    assert all(texts.values())
    assert len(scores) == len(texts)
    assert not any(score.nll for score in scores)


def test_an_engine_that_is_invariant_to_its_batch_is_asked_for_what_is_missing(tmp_path: Path) -> None:
    engine = ScriptedEngine(batch_invariant=True)
    whole = mapped(tmp_path / "study", engine)
    with StudyStore.open(tmp_path / "study") as store, store.transaction() as db:
        for table, column in (("verdicts", "response"), ("scores", "response"), ("responses", "key")):
            db.execute(f"DELETE FROM {table} WHERE {column} = ?", (min(whole),))
    again = ScriptedEngine(batch_invariant=True)
    assert mapped(tmp_path / "study", again) == whole
    assert [rows for kind, rows in again.calls if kind == "generate"] == [1]
