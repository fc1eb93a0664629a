"""Opinions in bulk become the rows that verdicts one by one become."""

from __future__ import annotations

import pytest

from helpers.pots import JUDGE
from safebasin.records import NO_REPLY, Opinion, Verdict, Wording
from safebasin.store import opinions as module
from safebasin.store.db import StudyStore
from safebasin.store.digests import digest, digest_ending_in
from safebasin.store.opinions import put_opinions
from safebasin.store.rows import PlanRows
from safebasin.study.plan import Plan

SAID = (
    Opinion("refusal", success=False, reason="phrase 'I cannot'"),
    Opinion("complied", success=True, reason=""),
    Opinion("unscored", success=None, reason="cut"),
    Opinion("incoherent", success=False, reason="a lone \udc80 in it"),
)
COLUMNS = "rowid, response, judge, version, label, success, typeof(reason), reason, grade, created, digest"


def rows(store: StudyStore, judge: str) -> list[tuple[object, ...]]:
    with store.reading() as db:
        found = db.execute(f"SELECT {COLUMNS} FROM verdicts WHERE judge = ? ORDER BY response", (judge,)).fetchall()
    return [row[1:] for row in found]


def test_the_rows_are_those_of_verdicts(store: StudyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "now", lambda: "then")
    monkeypatch.setattr("safebasin.store.db.now", lambda: "then")
    keys = [r.key for r in store.responses()]
    said = [SAID[i % len(SAID)] for i in range(len(keys))]
    of = {"judge": JUDGE[0], "version": JUDGE[1]}
    verdicts = [Verdict(response=key, **of, **one._asdict()) for key, one in zip(keys, said, strict=True)]
    assert store.put_verdicts(verdicts) == len(keys)
    singly = rows(store, JUDGE[0])
    with store.transaction() as db:
        db.execute("DELETE FROM verdicts")
    assert put_opinions(store, JUDGE, keys, said) == len(keys)
    assert rows(store, JUDGE[0]) == singly
    assert len(singly) == len(keys) > len(SAID)
    assert put_opinions(store, JUDGE, keys, said[::-1]) == 0, "what is there stays"
    assert rows(store, JUDGE[0]) == singly


def test_a_verdict_that_never_came_is_replaced(store: StudyStore) -> None:
    key = next(iter(store.responses())).key
    assert put_opinions(store, JUDGE, [key], [Opinion("unscored", success=None, reason=f"{NO_REPLY}: busy")]) == 1
    assert put_opinions(store, JUDGE, [key], [SAID[1]]) == 1
    assert [v.label for v in store.verdicts_of([key])[key]] == ["complied"]


@pytest.mark.parametrize("key", ["", "0123456789abcdef01234567", "long" * 300, "a lone \udc80"])
def test_a_digest_by_its_ending_is_the_digest(key: str) -> None:
    rest = (*JUDGE, "refusal", 0, b"bytes", None, 0.5)
    assert digest_ending_in(*rest)(key) == digest(key, *rest)


def test_wordings_come_page_by_page_and_what_was_judged_is_left_out(
    store: StudyStore, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("safebasin.store.rows.WORDINGS", 4)
    plan_rows = PlanRows.of(store, plan)
    wanted = sorted(place.key for place in plan_rows.places())
    put_opinions(store, JUDGE, wanted[1:2], [SAID[0]])
    seen: list[str] = []
    for keys, wordings in plan_rows.unjudged_wordings(*JUDGE):
        assert wordings == [Wording(r.text, r.finish_reason, r.broken) for r in store.responses_of(keys)]
        assert put_opinions(store, JUDGE, keys, [SAID[1]] * len(keys)) == len(keys) <= 4
        seen += keys
    assert seen == [wanted[0], *wanted[2:]]
    assert next(plan_rows.unjudged_wordings(*JUDGE), None) is None
