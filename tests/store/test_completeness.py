"""That nothing lacks is said only where nothing does, whatever else the tables hold."""

from __future__ import annotations

import pytest

from helpers.pots import JUDGE, verdict
from safebasin.records import NO_REPLY, Score
from safebasin.store.completeness import every_response_has
from safebasin.store.db import StudyStore
from safebasin.store.rows import PlanRows
from safebasin.study.plan import Plan

ONE, TWO = ({"judge": "judge", "version": version} for version in ("1", "2"))


@pytest.fixture
def keys(store: StudyStore) -> list[str]:
    """Of every response, whatever the plan asks."""
    found = [response.key for response in store.responses()]
    store.put_scores(Score(response=key, nll=(0.5,), ends=(3,)) for key in found)
    store.put_scores(Score(response=key, nll=(0.5,), ends=(3,), under="tuned") for key in found[1:])
    store.put_verdicts(verdict(key, version="2") for key in found)
    store.put_verdicts(verdict(key, version="1") for key in found[:-1])
    return found


def test_every_kind_is_asked_for(store: StudyStore, keys: list[str]) -> None:
    with store.reading() as db:
        assert every_response_has(db, "scores", [{}])
        assert not every_response_has(db, "scores_under", [{"point": "tuned"}])
        assert every_response_has(db, "verdicts", [TWO])
        assert not every_response_has(db, "verdicts", [TWO, ONE])
        assert every_response_has(db, "verdicts", [])
        db.execute("DELETE FROM scores WHERE response = ?", (keys[7],))
        assert not every_response_has(db, "scores", [{}])


def test_rows_of_no_response_stand_for_none(store: StudyStore, keys: list[str]) -> None:
    """As many rows as responses, and one of them of a response that is gone."""
    with store.reading() as db:
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute("UPDATE scores SET response = ? WHERE response = ?", ("f" * 24, keys[3]))
        assert not every_response_has(db, "scores", [{}])
        db.execute("UPDATE responses SET key = 'none' WHERE key = ?", (keys[3],))
        assert not every_response_has(db, "scores", [{}])


def test_counts_agree_with_it(store: StudyStore, plan: Plan, keys: list[str]) -> None:
    rows = PlanRows.of(store, plan)
    asked = [place.key for place in rows.places()]
    assert (rows.count_unscored(), rows.count_unjudged([JUDGE])) == (0, [0])
    assert rows.count_unscored("tuned") == (keys[0] in asked)
    assert rows.count_unjudged([JUDGE, ("judge", "1")]) == [0, keys[-1] in asked]
    store.put_verdicts([verdict(asked[2], label="unscored", reason=f"{NO_REPLY}: busy", version="3")])
    store.put_verdicts(verdict(key, version="3") for key in keys if key != asked[2])
    assert rows.count_unjudged([JUDGE, ("judge", "3")]) == [0, 1], "an answer that never came is no verdict"
