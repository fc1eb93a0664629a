"""The only writer of a study: which responses are scored, how often, and how much of them is held meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from safebasin import study
from safebasin.engines.scripted import ScriptedEngine
from safebasin.judges import load_judge
from safebasin.landscape.stored import StoredStudy
from safebasin.protocols import Generation, Judge
from safebasin.records import Decoding, Message, Point
from safebasin.run import driver
from safebasin.run.execute import measure
from safebasin.run.local import LocalBackend
from safebasin.store.db import StudyStore

ORIGIN, OUTCOME = Point(), load_judge("outcome")
NEAR = "I cannot help with that. There is a jar."


def say_where(conversation: Sequence[Message], point: Point) -> str:
    """Another text at each point but near the origin, where all say the same."""
    alpha = sum(alpha for _, alpha in point.terms)
    return NEAR if abs(alpha) < 0.5 else f"It is {alpha} of a jar."


@pytest.fixture
def unscored(tmp_path: Path) -> Iterator[StoredStudy]:
    """Five points, 0 ± 0.25 of which say the same, two batches of three prompts; every score taken away again."""
    keys = {"axes": [{"range": "-0.5:0.5:5", "directions": 1}], "limit": 6, "batch_size": 3, "judges": ["outcome"]}
    made = study.make({"model": "world:guild/aligned", "decoding": {"max_new_tokens": 12, "stop": "none"}, **keys})
    folder = measure(made, tmp_path / "study", engine=ScriptedEngine(say_where))
    with StudyStore.open(folder) as store:
        with store.transaction() as db:
            db.execute("DELETE FROM scores")
        yield StoredStudy.of(store)


def score(stored: StoredStudy, asked: Point = ORIGIN, judges: Sequence[Judge] = (OUTCOME,)) -> list[int]:
    """Rows of each call that it takes to score what is not scored."""
    engine = ScriptedEngine(say_where)
    backend, silent = LocalBackend(engine), lambda tick: None
    driver.score(backend, stored.store, stored.plan, asked, judges, date=None, progress=silent)
    return [rows for call, rows in engine.calls if call == "score"]


def test_the_texts_of_a_prompt_are_scored_together_and_equal_ones_once(unscored: StoredStudy) -> None:
    assert unscored.rows.count_unscored() == len(unscored.rows.unscored()) == 30
    assert score(unscored) == [18], "of six prompts two outer points each, and one text of three points"
    assert unscored.rows.count_unscored() == 0
    assert score(unscored) == []


def test_a_chunk_ends_with_its_prompt_and_what_a_kill_leaves_makes_the_same_chunks(
    unscored: StoredStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "CHUNK", 7)
    chunks = driver._chunks(unscored.store, unscored.plan, "")
    assert [len(keys) for _, keys in chunks] == [10, 10, 10]
    assert score(unscored) == [6, 6, 6]
    keys = [place.key for place in unscored.rows.places()]
    before = unscored.store.scores(keys)
    with unscored.store.transaction() as db:
        lost = [key for _, part in (chunks[0], chunks[2]) for key in part]
        db.executemany("DELETE FROM scores WHERE response = ?", [(key,) for key in lost])
    assert driver._chunks(unscored.store, unscored.plan, "") == [chunks[0], chunks[2]]
    score(unscored)
    assert unscored.store.scores(keys) == before
    monkeypatch.setattr(driver, "CHUNK", 4)
    monkeypatch.setattr(driver, "MOST", 4)
    with unscored.store.transaction() as db:
        db.execute("DELETE FROM scores")
    assert [len(keys) for _, keys in driver._chunks(unscored.store, unscored.plan, "")] == [4, 4, 4, 4, 4, 4, 4, 2]


def test_no_more_is_scored_than_the_judges_need(unscored: StoredStudy) -> None:
    assert score(unscored, judges=[load_judge("keyword/peng2024")]) == [], "nobody looks at a likelihood"
    with unscored.store.transaction() as db:
        db.execute("DELETE FROM scores")
    score(unscored)
    texts = {r.key: r.text for r in unscored.store.responses()}
    reached = {texts[key]: s.ends[-1] for key, s in unscored.store.scores(texts).items()}
    assert reached.pop(NEAR) == len("I cannot help"), "up to what refuses"
    assert sorted(reached.values()) == sorted(map(len, reached))
    assert len(reached) == 2


def test_the_opinion_of_another_point_is_counted_by_itself(unscored: StoredStudy) -> None:
    score(unscored)
    tuned = unscored.plan.points[-1]
    assert unscored.rows.count_unscored(driver.under(tuned)) == 30
    assert score(unscored, tuned) == [18]
    assert unscored.rows.count_unscored(driver.under(tuned)) == 0


class Short(ScriptedEngine):
    """An engine that has room for one batch of four at α = 1, and for two prompts at once from then on."""

    begun = 0

    def generate(self, conversations: Sequence[Sequence[Message]], decoding: Decoding) -> list[Generation]:
        self._largest = None
        if any(alpha == 1 for _, alpha in self.point.terms):
            self.begun += 1
            self._largest = 2 if self.begun > 1 else None
        return super().generate(conversations, decoding)


def test_a_point_has_rows_of_one_size_of_batches_wherever_the_run_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = study.make({"model": "world:guild/aligned", "axes": [{"range": "-1:1:3", "directions": 1}], "limit": 8,
                       "batch_size": 4, "judges": ["keyword/peng2024"]})  # fmt: skip

    def die(*given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(StudyStore, "forget", die)
        with pytest.raises(KeyboardInterrupt):
            measure(made, tmp_path / "study", engine=Short())
    resumed = Short()
    resumed.begun = 1
    measure(made, tmp_path / "study", engine=resumed)
    with StoredStudy.open(tmp_path / "study") as stored:
        assert not stored.missing().responses
    asked = [rows for call, rows in resumed.calls if call == "generate"]
    assert asked == [4, 2, 2, 2, 2], "what did not fit, then all of the point"
