"""Whether every response of a database has what it needs: told by indexes alone, which hold keys in one order.

A study that is finished is asked so each time it is run again. Where something lacks, or a folder holds more than its
plan asks for, `rows` counts what; here it is only seen that nothing does.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from safebasin.store.key_index import KEY_BYTES

__all__ = ["every_response_has"]

_DIGITS = "0123456789abcdef"
_PARTS = [one + other for one in _DIGITS for other in _DIGITS]
"""Parts of all keys, by how they begin: each is held as two texts."""


def every_response_has(db: sqlite3.Connection, table: str, kinds: Sequence[Mapping[str, str]]) -> bool:
    """Tell whether each response has, for each of some kinds, a row of a table whose columns are of these values.

    Args:
        db: of a study.
        table: with a column `response`, first in an index that holds the named columns too, by which a row is the only
            one of its kind.
        kinds: column → value, each with the same columns; none at all is any row.
    """
    names = list(kinds[0]) if kinds else []
    of_kind = " AND ".join(["TRUE", *(f"{name} = ?" for name in names)])
    columns = ", ".join(f"group_concat(response, '') FILTER (WHERE {of_kind})" for _ in kinds)
    wanted, n = [kind[name] for kind in kinds for name in names], 0
    for part in _PARTS if kinds else ():
        ends = part, f"{part}g"
        query = "SELECT count(*), coalesce(group_concat(key, ''), '') FROM responses WHERE key >= ? AND key < ?"
        count, keys = db.execute(query, ends).fetchone()
        found = db.execute(f"SELECT {columns} FROM {table} WHERE response >= ? AND response < ?", [*wanted, *ends])
        if len(keys) != count * 2 * KEY_BYTES or any((one or "") != keys for one in found.fetchone()):
            return False
        n += count
    return not kinds or n == db.execute("SELECT count(*) FROM responses").fetchone()[0]
