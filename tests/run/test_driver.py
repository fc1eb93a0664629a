"""The only writer of a study: which responses are scored, how often, and how much of them is held meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from safebasin import study
from safebasin.engines.scripted import ScriptedEngine
from safebasin.landscape.stored import StoredStudy
from safebasin.records import Message, Point
from safebasin.run import driver
from safebasin.run.execute import measure
from safebasin.run.local import LocalBackend
from safebasin.store.db import StudyStore


def say_where(conversation: Sequence[Message], point: Point) -> str:
    """Another text at each point but near the origin, where all say the same."""
    alpha = sum(alpha for _, alpha in point.terms)
    return "I cannot say." if abs(alpha) < 0.5 else f"It is {alpha} of a jar."


@pytest.fixture
def unscored(tmp_path: Path) -> Iterator[StoredStudy]:
    """Five points, 0 ± 0.25 of which say the same, two batches of three prompts; every score taken away again."""
    keys = {"axes": [{"range": "-0.5:0.5:5", "directions": 1}], "limit": 6, "batch_size": 3, "judges": ["outcome"]}
    made = study.make({"model": "world:guild/aligned", "decoding": {"max_new_tokens": 12}, **keys})
    folder = measure(made, tmp_path / "study", engine=ScriptedEngine(say_where))
    with StudyStore.open(folder) as store:
        with store.transaction() as db:
            db.execute("DELETE FROM scores")
        yield StoredStudy.of(store)


def score(stored: StoredStudy) -> list[int]:
    """Rows of each call that it takes to score what is not scored."""
    engine = ScriptedEngine(say_where)
    driver.score(LocalBackend(engine), stored.store, stored.plan, Point(), date=None, progress=lambda tick: None)
    return [rows for call, rows in engine.calls if call == "score"]


def test_texts_that_come_again_are_scored_once(unscored: StoredStudy) -> None:
    assert unscored.rows.count_unscored() == len(unscored.rows.unscored()) == 30
    assert score(unscored) == [3] * 6, "two batches at each outer point, and two for the three that say the same"
    assert unscored.rows.count_unscored() == 0
    assert score(unscored) == []


def test_what_is_no_longer_held_is_scored_again_and_comes_out_the_same(
    unscored: StoredStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    score(unscored)
    keys = [place.key for place in unscored.rows.places()]
    before = unscored.store.scores(keys)
    with unscored.store.transaction() as db:
        db.execute("DELETE FROM scores WHERE response <> ?", (keys[0],))
    monkeypatch.setattr(driver, "RECENT", 1)
    assert score(unscored) == [3] * 10
    assert unscored.store.scores(keys) == before


def test_the_opinion_of_another_point_is_counted_by_itself(unscored: StoredStudy) -> None:
    score(unscored)
    tuned = unscored.plan.points[-1]
    assert unscored.rows.count_unscored(driver.under(tuned)) == 30
    driver.score(
        LocalBackend(ScriptedEngine(say_where)),
        unscored.store,
        unscored.plan,
        tuned,
        date=None,
        progress=lambda _: None,
    )
    assert unscored.rows.count_unscored(driver.under(tuned)) == 0
