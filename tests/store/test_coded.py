"""Tables in bulk: every row with its combination and its text, whatever windows they fall into."""

from __future__ import annotations

import sqlite3

import pytest

from safebasin.store import coded as module
from safebasin.store.coded import Combination, coded


@pytest.fixture
def db() -> sqlite3.Connection:
    """Rows of which some are gone, whose columns take values and nothing."""
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE t (a TEXT, b INTEGER, text TEXT)")
    db.executemany(
        "INSERT INTO t VALUES (?, ?, ?)", [("xyz"[i % 3], (None, 0, 1)[i % 5 % 3], f"{i:02}") for i in range(40)]
    )
    db.execute("DELETE FROM t WHERE rowid BETWEEN 9 AND 24")
    return db


def read(db: sqlite3.Connection, *columns: str, where: str = "TRUE") -> list[tuple[Combination, str]]:
    found: list[tuple[Combination, str]] = []
    for known, codes, texts in coded(db, "t", columns, "text", where=where):
        assert isinstance(texts, str)
        found += [(known[code], texts[2 * at : 2 * at + 2]) for at, code in enumerate(codes)]
    return found


@pytest.mark.parametrize("window", [1, 4, 7, 1000])
def test_rows_are_those_that_are_read_one_by_one(db: sqlite3.Connection, window: int, monkeypatch) -> None:
    monkeypatch.setattr(module, "WINDOW", window)
    rows = [((a, b), text) for a, b, text in db.execute("SELECT a, b, text FROM t ORDER BY rowid")]
    assert read(db, "a", "b") == rows
    assert read(db, "1") == [((1,), text) for _, text in rows]
    assert read(db, "a", where="b IS NOT NULL") == [((a,), text) for (a, b), text in rows if b is not None]


def test_an_empty_table(db: sqlite3.Connection) -> None:
    assert read(db, "a", where="FALSE") == []
    db.execute("DELETE FROM t")
    assert read(db, "a") == []


def test_columns_that_take_many_values_are_refused(db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 3)
    with pytest.raises(ValueError, match="24 kinds of rows in t"):
        read(db, "text")
