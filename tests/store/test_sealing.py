"""Digests over rows in bulk are those of the rows one by one, sorted."""

from __future__ import annotations

import hashlib

import pytest

from helpers.pots import verdict
from safebasin.store import coded
from safebasin.store.db import StudyStore
from safebasin.store.digests import EVERY
from safebasin.store.sealing import LATER, Counted, row_digests

ODD = ("NULL", "x'00'", "x'ffffffffffffffffff'", "'a text'", "17")


def one_by_one(store: StudyStore) -> dict[str, Counted]:
    """As the first release with digests counts them."""

    def total(digests: list[object]) -> Counted:
        joined = b"".join(digest if isinstance(digest, bytes) else b"none" for digest in digests)
        return Counted(len(digests), hashlib.sha256(joined).hexdigest())

    with store.reading() as db:
        found = {}
        for table in EVERY:
            where = f"WHERE key NOT IN {LATER}" if table == "meta" else ""
            rows = db.execute(f"SELECT digest FROM {table} {where} ORDER BY digest").fetchall()
            found[table] = total([digest for (digest,) in rows])
        del found["verdicts"]
        for judge, version in db.execute("SELECT DISTINCT judge, version FROM verdicts").fetchall():
            query = "SELECT digest FROM verdicts WHERE judge = ? AND version = ? ORDER BY digest"
            digests = [digest for (digest,) in db.execute(query, (judge, version))]
            found[f"verdicts {judge}@{version}"] = total(digests)
    return found


@pytest.mark.parametrize("window", [5, 200_000])
def test_row_digests_are_those_of_the_rows(store: StudyStore, window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coded, "WINDOW", window)
    for version in ("1", "2"):
        store.put_verdicts(verdict(r.key, version=version) for r in store.responses())
    expected = one_by_one(store)
    assert sum(name.startswith("verdicts ") for name in expected) > 1
    assert expected["responses"].n > 5
    assert row_digests(store.path.parent) == expected


@pytest.mark.parametrize("odd", ODD)
def test_rows_without_a_digest_of_ours(store: StudyStore, odd: str) -> None:
    store.put_verdicts(verdict(r.key, version="2") for r in store.responses())
    with store.reading() as db:
        for table in ("responses", "verdicts"):
            db.execute(f"UPDATE {table} SET digest = {odd} WHERE rowid IN (2, 3)")
        db.commit()
    assert row_digests(store.path.parent) == one_by_one(store)
