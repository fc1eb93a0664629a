"""Verdicts in bulk are those that are read row by row, whatever else the folder holds."""

from __future__ import annotations

import random
import sqlite3
from dataclasses import replace

import numpy as np
import pytest

from helpers.pots import JUDGE, PROMPTS, verdict
from safebasin.errors import StoreError
from safebasin.records import Point
from safebasin.store import coded, verdict_arrays
from safebasin.store.cells import Cells
from safebasin.store.db import StudyStore
from safebasin.store.key_index import KeyIndex
from safebasin.store.rows import PlanRows
from safebasin.store.verdict_arrays import read_cut, read_said, read_verdict_arrays
from safebasin.study.plan import Plan


def test_arrays_hold_what_the_rows_hold(store: StudyStore, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coded, "WINDOW", 7)
    draw, labels = random.Random(0), ("refusal", "complied", "incoherent", "unscored")
    for version in ("1", "2"):
        said = [verdict(r.key, label=draw.choice(labels), version=version) for r in store.responses()]
        store.put_verdicts(said[:-20])
    rows = PlanRows.of(store, plan)
    places = {place.key: place for place in rows.places()}
    for judge, arrays in zip(
        [JUDGE, ("judge", "1")], read_verdict_arrays(rows, plan, [JUDGE, ("judge", "1")]), strict=True
    ):
        expected = {
            (places[v.response].point, places[v.response].system, places[v.response].prompt): (v.label, v.success)
            for v in rows.verdicts_by(*judge)
        }
        found = {
            (point, *question): arrays.kinds[arrays.codes[at]]
            for point, i in arrays.points.items()
            for question, j in arrays.questions.items()
            for at in [(i, j)]
        }
        assert len(expected) > 5
        assert {key: found[key] for key in expected} == expected
        assert all(said == ("unscored", None) for key, said in found.items() if key not in expected)


def test_columns_of_prompts_that_were_never_asked(store: StudyStore, plan: Plan) -> None:
    (arrays,) = read_verdict_arrays(PlanRows.of(store, plan), plan, [JUDGE])
    ids = tuple(prompt.id for prompt in PROMPTS)
    assert arrays.columns(plan.systems[0].id, ids).tolist() == [0, 1, 2, 3, 4, -1, -1]
    assert arrays.columns("other", ids[:2]).tolist() == [-1, -1]


def test_what_a_stop_rule_cut_is_told_by_judge_and_version(store: StudyStore, plan: Plan) -> None:
    places = PlanRows.of(store, plan).places()
    cut, spoke, broke, older = (place.key for place in places[:4])
    store.put_verdicts(
        [
            replace(verdict(cut, label="unscored"), success=None, reason="cut"),
            verdict(spoke, label="refusal"),
            replace(verdict(broke, label="unscored"), success=None, reason="no score"),
            replace(verdict(older, label="unscored", version="1"), success=None, reason="cut"),
        ]
    )
    with store.reading() as db:
        cells = Cells.read(db, plan)
        found = read_cut(db, cells, [JUDGE, ("judge", "1"), ("nobody", "1")])
    keys = {
        judge: [cells.index.key(n) for n in np.flatnonzero(said.reshape(-1)[cells.index.at])]
        for judge, said in found.items()
    }
    assert keys == {JUDGE: [cut], ("judge", "1"): [older], ("nobody", "1"): []}


def test_keys_are_numbered_in_their_order(store: StudyStore, plan: Plan) -> None:
    keys = [place.key for place in PlanRows.of(store, plan).places()]
    with store.reading() as db:
        index = Cells.read(db, plan).index
    assert [index.key(number) for number in range(len(keys))] == sorted(keys)
    assert index.ranks(bytes.fromhex(keys[3] + "0" * 24 + keys[0])).tolist() == [sorted(keys).index(keys[3]), -1, 0]


def test_keys_that_begin_alike_are_told_apart() -> None:
    """A 64-bit beginning that two of ten million keys share is not likely, and not impossible."""
    keys = [bytes([1] * 8 + [0, 0, 0, i]) for i in (3, 1, 2)] + [bytes([2] * 12)]
    places = KeyIndex.of((b"".join(keys[i : i + 2]), np.arange(i, i + 2)) for i in (0, 2))
    asked = [keys[2], bytes([1] * 8 + [0, 0, 0, 9]), keys[3], keys[0], bytes([3] * 12)]
    assert places.locate(b"".join(asked)).tolist() == [2, -1, 3, 0, -1]
    assert sorted(places.find(b"".join(asked)).tolist()) == [0, 2, 3]


def test_an_index_of_nothing_finds_nothing() -> None:
    assert KeyIndex.of([]).locate(bytes(12)).tolist() == [-1]


def test_a_judge_may_say_more_than_a_byte_holds(store: StudyStore, plan: Plan) -> None:
    key = PlanRows.of(store, plan).places()[0].key
    said = [("judge", "2", f"kind {i}", 1) for i in range(300)]
    store.put_verdicts([verdict(key)])
    with store.reading() as db:
        cells = Cells.read(db, plan)
        parts = [(said[start : start + 3], np.arange(3, dtype=np.uint16), key * 3) for start in range(0, 300, 3)]
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(verdict_arrays, "coded", lambda *_: iter(parts))
            arrays = read_said(db, cells, [JUDGE])[JUDGE]
    assert arrays.codes.dtype == np.uint16
    assert arrays.kinds[arrays.codes.max()] == ("kind 299", True)


def test_a_key_that_is_none_is_damage(store: StudyStore, plan: Plan) -> None:
    with sqlite3.connect(store.path) as db:
        db.execute("UPDATE responses SET key = 'none ' || rowid WHERE point = ?", (Point().key,))
    with pytest.raises(StoreError, match="study database must be what a study wrote"):
        read_verdict_arrays(PlanRows.of(store, plan), plan, [JUDGE])
