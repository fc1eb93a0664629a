"""Digests over the content of rows, kept beside them: a bit that flipped, or a text that somebody replaced, is seen.

Not a signature: whoever can write the database can write a digest. It finds damage and careless edits.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Sequence

__all__ = [
    "DIGESTED",
    "DIGEST_BYTES",
    "EVERY",
    "LATE",
    "SETTLED",
    "WITHHELD",
    "altered",
    "digest",
    "digest_ending_in",
    "digest_new_rows",
    "insert_digested",
    "insert_with_digests",
    "undigested",
]

DIGESTED = {
    "prompts": ("id", "messages", "source", "category", "behavior", "label", "batch"),
    "responses": (
        *("key", "point", "prompt", "system", "decoding", "sample", "text", "thinking", "n_tokens"),
        *("finish_reason", "broken", "gap"),
    ),
    "scores": ("response", "nll", "ends"),
    "scores_under": ("response", "point", "nll", "ends"),
    "verdicts": ("response", "judge", "version", "label", "success", "reason", "grade"),
}
"""Table → the columns that its digest covers, the key first."""
SETTLED = {
    "meta": ("key", "value"),
    "points": ("key", "recipe"),
    "systems": ("id", "name", "text"),
    "decodings": ("key", "settings"),
    "measurements": ("point", "name", "setting", "value", "error", "n"),
}
"""The same for what was asked and set, which got its digests later."""
EVERY = {**DIGESTED, **SETTLED}
DIGEST_BYTES = 8
LATE = "rows_before_digests"
"""Key of the number of rows that were there before digests were kept: theirs vouch for them from the next write on."""
WITHHELD = "withheld"
"""Key of the fact that a database is a copy without texts: which columns of which tables stand empty in it."""
_TEXTS = ("prompts", "responses", "verdicts")
"""Tables with columns that such a copy lacks."""


def digest(*values: str | bytes | float | None) -> bytes:
    """Eight bytes of BLAKE2b over the values of a row, each with its type and length."""
    return hashlib.blake2b(_encoded(*values), digest_size=DIGEST_BYTES).digest()


def digest_ending_in(*rest: str | bytes | float | None) -> Callable[[str], bytes]:
    """The function from the first value of a row, a text, to its `digest`, given the others: they are encoded once."""
    ending, begun = _encoded(*rest), hashlib.blake2b(digest_size=DIGEST_BYTES)

    def digest_of(key: str) -> bytes:
        made = begun.copy()
        made.update(_encoded(key) + ending)
        return made.digest()

    return digest_of


def _encoded(*values: str | bytes | float | None) -> bytes:
    parts: list[bytes] = []
    for value in values:  # five rows a response: a fifth of what storing it takes
        if isinstance(value, str):
            data = value.encode("utf-8", "surrogatepass")
            parts += (_TEXT[len(data)] if len(data) < _SHORT else b"s" + len(data).to_bytes(8, "big"), data)
        elif value is None:
            parts.append(_NOTHING)
        elif isinstance(value, bytes):
            parts += (b"b" + len(value).to_bytes(8, "big"), value)
        else:
            data = repr(float(value)).encode()
            parts += (b"n" + len(data).to_bytes(8, "big"), data)
    return b"".join(parts)


_SHORT = 1024
_TEXT = [b"s" + n.to_bytes(8, "big") for n in range(_SHORT)]
"""Type and length of texts, by length."""
_NOTHING = b"n" + bytes(8)


def insert_digested(
    db: sqlite3.Connection,
    table: str,
    rows: Sequence[tuple[str | bytes | float | None, ...]],
    *,
    created: str | None = None,
    otherwise: str = "ON CONFLICT DO NOTHING",
) -> None:
    """Insert rows with their digests at once: cheaper than giving them theirs afterwards.

    Args:
        db: within a transaction.
        table: one of `DIGESTED`.
        rows: its columns, in that order.
        created: when they were made, for tables that say so.
        otherwise: what becomes of a row whose key is there.
    """
    insert_with_digests(db, table, ((row, digest(*row)) for row in rows), created=created, otherwise=otherwise)


def insert_with_digests(
    db: sqlite3.Connection,
    table: str,
    rows: Iterable[tuple[tuple[str | bytes | float | None, ...], bytes]],
    *,
    created: str | None = None,
    otherwise: str = "ON CONFLICT DO NOTHING",
) -> None:
    """Insert rows whose digests are known, each beside its row; see `insert_digested`."""
    columns = (*DIGESTED[table], "digest", *(() if created is None else ("created",)))
    made = () if created is None else (created,)
    into = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) {otherwise}"
    db.executemany(into, [(*row, told, *made) for row, told in rows])


def digest_new_rows(db: sqlite3.Connection) -> None:
    """Give a digest to every row that has none: those just written, and once those of a folder older than digests."""
    for table, columns in EVERY.items():
        if not _has_digest(db, table):
            return
        db.execute(f"UPDATE {table} SET digest = content_digest({', '.join(columns)}) WHERE digest IS NULL")


def altered(db: sqlite3.Connection) -> list[str]:
    """Every row, in words, whose content is no longer that of its digest.

    In a copy without texts the tables that lack some are left out: a digest is that of the whole row.
    """
    found: list[str] = []
    withheld = db.execute("SELECT value FROM meta WHERE key = ?", (WITHHELD,)).fetchone()
    lacking = () if withheld is None else _TEXTS
    for table, columns in EVERY.items():
        if table in lacking:
            continue
        query = f"SELECT {columns[0]} FROM {table} WHERE digest <> content_digest({', '.join(columns)})"
        found += [f"a row of {table} ({key})" for (key,) in db.execute(query)]
    return found


def undigested(db: sqlite3.Connection) -> int:
    """Rows written by a safebasin older than digests, about whose content nothing can be said."""
    return sum(db.execute(f"SELECT count(*) FROM {t} WHERE digest IS NULL").fetchone()[0] for t in EVERY)


def _has_digest(db: sqlite3.Connection, table: str) -> bool:
    return any(name == "digest" for _, name, *_ in db.execute(f"PRAGMA table_info({table})"))
