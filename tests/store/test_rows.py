"""The rows of a plan: what else a folder holds is left out, and what is read comes in pages."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.pots import JUDGE, PROMPTS, SYSTEMS, made, verdict
from safebasin.records import NO_REPLY, Point, Prompt, Score, System
from safebasin.store import db
from safebasin.store import rows as module
from safebasin.store.db import StudyStore
from safebasin.store.rows import PlanRows
from safebasin.store.verdict_arrays import NOTHING, read_verdict_arrays
from safebasin.study.plan import Plan


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "PAGE", 4)
    monkeypatch.setattr("safebasin.store.rows.PAGE", 4)


def test_only_what_the_plan_asks_for(store: StudyStore, plan: Plan) -> None:
    rows = PlanRows.of(store, plan)
    wanted = {made(plan.decoding, *asked).key for asked in _asked(plan)}
    assert store.counts()["responses"] > len(wanted) == plan.size == rows.count() == 15
    assert [place.key for place in rows.places()] == sorted(wanted)
    assert {(p.point, p.system, p.prompt) for p in rows.places()} == set(plan.keys())
    stored = rows.stored_at(Point().key, SYSTEMS[0].id)
    assert stored == {prompt.id: made(plan.decoding, Point(), SYSTEMS[0], prompt).key for prompt in PROMPTS}


def test_what_is_left_out_at_a_point_is_not_of_the_plan(store: StudyStore, plan: Plan) -> None:
    (asked,) = plan.sets
    points = [point.key for point in plan.points]
    part = replace(plan, stopped={points[1]: {asked.name: 2}, points[2]: {asked.name: 4}})
    rows, wanted = PlanRows.of(store, part), set(part.keys())
    assert rows.count() == part.size == len(wanted) == plan.size - 4
    assert {(p.point, p.system, p.prompt) for p in rows.places()} == wanted
    assert rows.count_unscored() == rows.count_unjudged([JUDGE])[0] == part.size
    assert sum(len(page) for page in rows.unjudged(*JUDGE)) == part.size
    store.put_verdicts(verdict(r.key) for r in store.responses())
    assert sum(1 for _ in rows.verdicts_by(*JUDGE)) == part.size
    (said,) = read_verdict_arrays(rows, part, [JUDGE])
    told = {
        (point, *question)
        for point, row in said.points.items()
        for question, column in said.questions.items()
        if said.kinds[said.codes[row, column]] != NOTHING
    }
    assert told == wanted


def _asked(plan: Plan) -> list[tuple[Point, System, Prompt]]:
    return [(point, system, prompt) for point in plan.points for system in plan.systems for prompt in PROMPTS[:5]]


@pytest.mark.usefixtures("small_pages")
def test_the_unjudged_come_in_pages_with_their_scores_while_verdicts_are_written(store: StudyStore, plan: Plan) -> None:
    rows, seen = PlanRows.of(store, plan), list[str]()
    keys = [place.key for place in rows.places()]
    store.put_scores([Score(response=keys[0], nll=(0.5,), ends=(3,)), Score(response=keys[0], nll=(0.25,), ends=(3,),
                      under="tuned")])  # fmt: skip
    assert rows.count_unscored() == 14
    store.put_verdicts([verdict(keys[1]), verdict(keys[2], version="1")])
    store.put_verdicts([verdict(keys[3], label="unscored", reason=f"{NO_REPLY}: busy")])
    assert rows.count_unjudged([JUDGE]) == [14]
    for page in rows.unjudged(*JUDGE):
        assert len(page) <= 4
        for response, score in page:
            assert (score is not None) == (response.key == keys[0])
            assert score is None or [one.under for one in score.also] == ["tuned"]
            seen.append(response.key)
        store.put_verdicts(verdict(response.key) for response, _ in page)
    assert seen == [key for key in keys if key != keys[1]]
    assert rows.count_unjudged([JUDGE]) == [0]
    assert next(rows.unjudged(*JUDGE), None) is None


def test_counts_are_the_same_where_a_folder_holds_nothing_but_its_plan(plan: Plan, tmp_path: Path) -> None:
    """They are then taken by subtraction."""
    with StudyStore.open(tmp_path) as store:
        store.add_prompts((prompt, 0) for prompt in PROMPTS[:5])
        store.add_question(points=plan.points, systems=SYSTEMS[:1], decoding=plan.decoding)
        store.put_responses(made(plan.decoding, *asked) for asked in _asked(plan))
        rows = PlanRows.of(store, plan)
        keys = [place.key for place in rows.places()]
        store.put_scores(
            [Score(response=keys[0], nll=(), ends=()), Score(response=keys[1], nll=(), ends=(), under="t")]
        )
        store.put_verdicts([verdict(keys[1]), verdict(keys[2], version="1")])
        store.put_verdicts([verdict(keys[3], label="unscored", reason=f"{NO_REPLY}: busy")])
        assert (rows.count_unscored(), rows.count_unscored("t"), rows.count_unjudged([JUDGE])) == (14, 14, [14])


_DAMAGE = {
    "nothing": "SELECT 1",
    "responses gone": "DELETE FROM responses WHERE rowid % 5 = 0",
    "scores of no response": "UPDATE scores SET response = 'f' || substr(response, 2) WHERE rowid % 3 = 0",
    "another letter case": "UPDATE verdicts SET response = upper(response) WHERE rowid % 4 = 0",
    "keys that are none": "UPDATE responses SET key = 'none ' || rowid WHERE rowid % 6 = 0",
    "verdicts on none": "UPDATE verdicts SET response = 'none' WHERE rowid = 3",
    "rows renumbered": "UPDATE verdicts SET rowid = rowid * 1000 + 7",
    "no verdicts": "DELETE FROM verdicts",
    "nothing left": "DELETE FROM responses",
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", _DAMAGE)
def test_what_is_lacking_is_counted_as_row_by_row_whatever_is_damaged(
    store: StudyStore, plan: Plan, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, draw = PlanRows.of(store, plan), random.Random(1)
    keys = [response.key for response in store.responses()]
    store.put_scores(
        Score(response=key, nll=(), ends=(), under=under) for key in keys for under in ("", "t") if draw.random() < 0.5
    )
    for version in ("1", "2"):
        store.put_verdicts(verdict(key, version=version) for key in keys if draw.random() < 0.5)
        busy = [verdict(key, version=version, label="unscored", reason=f"{NO_REPLY}: busy") for key in keys[::3]]
        store.put_verdicts(busy)
    with closing(sqlite3.connect(store.path)) as db, db:
        db.execute(_DAMAGE[damage])
    asked = [JUDGE, ("judge", "1"), ("another", "1")]

    def counted() -> tuple[int, int, list[int]]:
        return rows.count_unscored(), rows.count_unscored("t"), rows.count_unjudged(asked)

    monkeypatch.setattr(module, "WINDOW", 17)
    fast = counted()
    monkeypatch.setattr(module, "_SMALL_PART", 0)  # every plan is then asked for row by row
    assert fast == counted()
    assert fast[0] == len(rows.unscored())
    assert fast[2] == [sum(map(len, rows.unjudged(*judge))) for judge in asked]


def test_verdicts_are_of_one_version_and_of_the_plan(store: StudyStore, plan: Plan) -> None:
    rows = PlanRows.of(store, plan)
    store.put_verdicts(verdict(r.key, label="refusal") for r in store.responses())
    first, second = (place.key for place in rows.places()[:2])
    store.put_verdicts([verdict(first, version="1"), verdict(first, version="3", label="unscored", reason="cut")])
    assert [v.label for v in rows.verdicts_by(*JUDGE)] == ["refusal"] * 15
    assert {v.response for v in rows.verdicts_by(*JUDGE)} == {place.key for place in rows.places()}
    assert [v.version for v in rows.verdicts_by("judge") if v.response == first] == ["1", "2", "3"]
    assert [v.version for v in rows.verdicts_by("judge", "2") if v.response in (first, second)] == ["2", "2"]
    assert (rows.count_cut("judge", "3"), rows.count_cut("judge", "2")) == (1, 0)


@pytest.mark.usefixtures("small_pages")
def test_responses_come_in_pages_ordered_by_key(store: StudyStore, plan: Plan) -> None:
    every = list(store.responses())
    assert len(every) == store.counts()["responses"] == 2 * 4 * 2 * 7
    assert [r.key for r in every] == sorted(r.key for r in every)
    assert list(store.responses(plan.decoding.key)) == [r for r in every if r.decoding == plan.decoding.key]
    here = list(store.responses(plan.decoding.key, point=Point().key))
    assert here == [r for r in every if (r.decoding, r.point) == (plan.decoding.key, Point().key)]
    assert store.responses_of([every[3].key, "another", every[1].key]) == [every[1], every[3]]
