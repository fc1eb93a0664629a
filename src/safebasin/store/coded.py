"""A large table, read in bulk where a few columns take a handful of values: a number stands for each combination.

SQLite walks through the rows once and joins the numbers into one text and what is wanted of each row into another;
numpy takes them apart. Grouping would sort every row, which is three quarters of the time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["WINDOW", "Combination", "coded"]

WINDOW = 200_000
"""Rows of a table whose texts are joined at a time."""
_MOST = 5_000
"""Combinations that a study may have: SQLite takes no more than some 30,000 values at once."""
_DIGITS = 4
_UNKNOWN = 16**_DIGITS - 1
"""Stands for a combination that has not been seen yet."""

Combination = tuple[object, ...]
"""Values of the columns of a row."""


def coded(
    db: sqlite3.Connection, table: str, columns: Sequence[str], joined: str, *, where: str = "TRUE"
) -> Iterator[tuple[list[Combination], NDArray[np.uint16], object]]:
    """Read some rows of a table, in the order of the file, a window at a time.

    Args:
        db: of a study.
        table: with a rowid.
        columns: that take few values together.
        joined: SQL of a text, never NULL, that is wanted of each row.
        where: SQL that a row meets.

    Yields:
        The combinations of the columns that are known by now, the number of that of each row, and the texts joined.

    Raises:
        ValueError: where the columns do not take few values.
    """
    known: list[Combination] = []
    last = db.execute(f"SELECT coalesce(max(rowid), 0) FROM {table}").fetchone()[0]
    for start in range(0, last, WINDOW):
        within = f"rowid > {start} AND rowid <= {start + WINDOW} AND {where}"
        codes, texts = _window(db, table, columns, joined, within, known) if known else (None, None)
        if codes is None or (codes == _UNKNOWN).any():
            seen = db.execute(f"SELECT DISTINCT {', '.join(columns)} FROM {table} WHERE {within}").fetchall()
            known += [one for one in seen if one not in known]
            if len(known) > _MOST:
                raise ValueError(f"{len(known)} kinds of rows in {table}")
            codes, texts = _window(db, table, columns, joined, within, known)
        if codes.size:
            yield known, codes, texts


def _window(
    db: sqlite3.Connection, table: str, columns: Sequence[str], joined: str, within: str, known: Sequence[Combination]
) -> tuple[NDArray[np.uint16], object]:
    """Numbers and texts of the rows of one window."""
    is_one = " AND ".join(f"{column} IS ?" for column in columns)
    cases = " ".join(f"WHEN {is_one} THEN '{number:0{_DIGITS}x}'" for number in range(len(known)))
    number = f"CASE {cases} ELSE '{_UNKNOWN:0{_DIGITS}x}' END" if known else "NULL"
    query = f"SELECT group_concat({number}, ''), group_concat({joined}, '') FROM {table} WHERE {within}"
    numbers, texts = db.execute(query, [value for one in known for value in one]).fetchone()
    return np.frombuffer(bytes.fromhex(numbers or ""), dtype=">u2").astype(np.uint16), texts
