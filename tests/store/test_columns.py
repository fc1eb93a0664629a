"""Columns read in bulk are what records of the same rows say; what is no value of a column is refused."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from helpers.pots import PROMPTS, SYSTEMS, verdict
from safebasin.errors import StoreError
from safebasin.records import Point, Score
from safebasin.store import columns
from safebasin.store.cells import Cells
from safebasin.store.columns import check_reasons, read_answers, read_grades, read_means
from safebasin.store.db import StudyStore
from safebasin.store.rows import PlanRows
from safebasin.study.plan import Plan


def test_answers_are_the_responses_of_a_place(store: StudyStore, plan: Plan) -> None:
    stored = {r.prompt: r for r in store.responses(plan.decoding.key, point="origin") if r.system == SYSTEMS[0].id}
    with store.reading() as db:
        found = read_answers(db, plan.decoding.key, Point().key, SYSTEMS[0].id)
        few = read_answers(db, plan.decoding.key, Point().key, SYSTEMS[0].id, [PROMPTS[6].id, "none", PROMPTS[1].id])
        none = read_answers(db, plan.decoding.key, "nowhere", SYSTEMS[0].id)
    assert sorted(found.prompts) == sorted(stored) == sorted(p.id for p in PROMPTS)
    for prompt, *values in zip(*found, strict=True):
        r = stored[prompt]
        assert values == [r.key, r.text, r.n_tokens, r.finish_reason]
    assert sorted(few.prompts) == sorted([PROMPTS[1].id, PROMPTS[6].id])
    assert none == ([],) * 5


def test_means_are_those_of_scores_to_the_last_bit(
    store: StudyStore, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "PAGE", 4)
    draw = random.Random(0)
    likelihoods = [tuple(draw.expovariate(1) * 10.0 ** draw.randrange(-9, 9) for _ in range(n % 7)) for n in range(60)]
    likelihoods[3] = (math.inf, 1.0)
    keys = [response.key for response in store.responses()]
    store.put_scores(
        Score(response=key, nll=nll, ends=tuple(range(len(nll))))
        for key, nll in zip(keys[:-5], likelihoods, strict=False)
    )
    with store.reading() as db:
        cells = Cells.read(db, plan)
        found = read_means(db, cells)
    n_scored = 0
    for place in PlanRows.of(store, plan).places():
        at = cells.points[place.point], cells.questions[place.system, place.prompt]
        score = store.scores([place.key]).get(place.key)
        mean = None if score is None else score.mean()
        expected = np.nan if mean is None or not math.isfinite(mean) else mean
        assert found.n[at] == (-1 if score is None else score.count())
        np.testing.assert_array_equal(found.mean[at], expected)
        n_scored += score is not None
    assert n_scored > 5
    assert (found.n >= 0).sum() == n_scored


def test_grades_by_those_that_gave_any(store: StudyStore, plan: Plan) -> None:
    places = PlanRows.of(store, plan).places()
    store.put_verdicts(verdict(place.key) for place in places)
    with store.reading() as db:
        db.execute("UPDATE verdicts SET grade = 3.5 WHERE response = ?", (places[2].key,))
        cells = Cells.read(db, plan)
        found = read_grades(db, cells, [("judge", "1"), ("judge", "2")])
        assert read_grades(db, cells, [("judge", "1")]) == {}
    assert list(found) == [("judge", "2")]
    grades = found["judge", "2"]
    assert grades[cells.points[places[2].point], cells.questions[places[2].system, places[2].prompt]] == 3.5
    assert np.isnan(grades).sum() == grades.size - 1


@pytest.mark.parametrize(("nll", "ends"), [("x'00'", "x'00'"), ("x'0000803f'", "x''"), ("'1234'", "x'00000000'")])
def test_a_score_that_is_none_is_refused(store: StudyStore, plan: Plan, nll: str, ends: str) -> None:
    """Bytes of a score that are no numbers, though together with those of others they would be."""
    keys = [response.key for response in store.responses()]
    store.put_scores(Score(response=key, nll=(0.5,), ends=(3,)) for key in keys[:4])
    with store.transaction() as db:
        db.execute(f"UPDATE scores SET nll = {nll}, ends = {ends} WHERE rowid > 0")
    with pytest.raises(StoreError, match="what a study wrote"), store.reading() as db:
        read_means(db, Cells.read(db, plan))


def test_a_reason_that_is_none_is_refused(store: StudyStore) -> None:
    key = next(store.responses()).key
    store.put_verdicts([verdict(key, reason="a lone \udc80 in it"), verdict(key, version="1", reason="plain")])
    with store.transaction() as db:
        check_reasons(db)
        db.execute("UPDATE verdicts SET reason = 5 WHERE version = '1'")
    with pytest.raises(StoreError, match="int where a text was stored"), store.reading() as db:
        check_reasons(db)
