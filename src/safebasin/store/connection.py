"""A connection to a study's database: how it is opened, what one transaction is, and what SQLite's errors mean.

Python's own handling of transactions commits statements of the schema one by one. Here it is switched off: whatever is
written stands between one BEGIN IMMEDIATE and one COMMIT, the making of the schema too, so that a process killed at any
statement leaves either all of it or nothing.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from safebasin.errors import StoreError, expected
from safebasin.store.digests import digest, digest_new_rows

__all__ = ["WAIT_S", "check_plain", "connect", "explained", "number_in", "parsed", "transaction"]

WAIT_S = 30.0
"""How long another process may hold the database."""
_LARGE = 64 * 2**20
"""Bytes up to which a database is checked whole whenever it is opened."""
_NO_TEXT = "Could not decode to UTF-8"
"""What Python says of a stored text that is no UTF-8, as it is read."""
_NO_DIGEST = "user-defined function raised exception"
"""What it says as such a text is given to `content_digest`, and where a signal came while that ran."""
_SMALL = ("meta", "points", "prompts", "systems", "decodings")
"""Tables that hold what was asked, not what came back."""


def connect(path: Path) -> sqlite3.Connection:
    """A connection without transactions of its own.

    Raises:
        sqlite3.DatabaseError: where the file is damaged, or no database.
    """
    db = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
    try:
        db.create_function("content_digest", -1, digest, deterministic=True)
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA synchronous = NORMAL")
        check_plain(db)
        _check_whole(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _check_whole(db: sqlite3.Connection, path: Path) -> None:
    """Check the structure of the file; of a large one, which that would read for minutes, its end and its small tables.

    The rest of a large one is checked by `verify`, and page by page as it is read.

    Raises:
        sqlite3.DatabaseError: where it is damaged.
    """
    size, checks = path.stat().st_size, ["PRAGMA quick_check(1)"]
    with suppress(FileNotFoundError):  # pages on their way, where somebody switched it to write-ahead
        size += path.with_name(f"{path.name}-wal").stat().st_size
    if size > _LARGE:
        pages, page = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        if pages * page > size:
            raise sqlite3.DatabaseError(f"{pages * page - size} bytes of it are not there")
        there = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        checks = [f"PRAGMA quick_check({name})" for name in _SMALL if name in there]
    for check in checks:
        (state,) = db.execute(check).fetchone()
        if state != "ok":
            raise sqlite3.DatabaseError(state)


def check_plain(db: sqlite3.Connection) -> None:
    """Refuse what runs code of its own when it is read or written: a study has tables and indexes only.

    Raises:
        sqlite3.DatabaseError: naming the first view, trigger, virtual table or computed column.
    """
    db.execute("PRAGMA trusted_schema = OFF")
    odd = db.execute(
        "SELECT type || ' ' || name FROM sqlite_master WHERE type NOT IN ('table', 'index') "
        "OR (type = 'table' AND (sql LIKE '%VIRTUAL%' OR sql LIKE '%GENERATED%' OR sql LIKE '% AS (%'))"
    ).fetchone()
    if odd is not None:
        raise sqlite3.DatabaseError(f"it holds {odd[0]}, which no study does")


@contextmanager
def transaction(db: sqlite3.Connection, *, digests: bool = True) -> Generator[sqlite3.Connection]:
    """All of it or nothing. Rows that have no digest yet get one in the same transaction, unless `digests` is false.

    Within another it is a part of that.
    """
    if db.in_transaction:
        yield db
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        if digests:
            digest_new_rows(db)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # a full disk may have ended it already
            db.execute("ROLLBACK")
        raise


@contextmanager
def explained(path: Path) -> Generator[None]:
    """Turn SQLite's errors into help."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        said, name = str(error), getattr(error, "sqlite_errorname", "")
        is_ours = said.startswith((_NO_TEXT, _NO_DIGEST)) or name == "SQLITE_ERROR"  # such as a table that is not there
        if isinstance(error, sqlite3.OperationalError) and not is_ours:
            raise StoreError(_unusable(path, error, name)) from error
        remedy = "Move the folder away and map again, or restore the file from a backup."
        if said.startswith(_NO_DIGEST):
            remedy = "Run the same command again; where that says so too, a stored text is damaged: restore the file."
        raise StoreError(expected("study database", "an undamaged SQLite file", f"{path}: {error}", remedy)) from error


def _unusable(path: Path, error: sqlite3.Error, name: str) -> str:
    """What to do where the file itself may be whole, by SQLite's name of the error."""
    remedy = "Free space or mend the permissions, then run the same command again: nothing committed is lost."
    if path.exists() and not path.is_file():
        remedy = "It is no file: move it away, or choose another folder."
    elif name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        remedy = "Another process holds it: wait for that, or stop it, then run the same command again."
    return expected("study database", "readable and writable", f"{path}: {error}", remedy)


@contextmanager
def parsed(path: Path) -> Generator[None]:
    """Turn what reading stored values raises into help: a database is a file that others may have written."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, LookupError, ArithmeticError, RecursionError) as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())
        remedy = "Move the folder away and map again, or restore the file from a backup."
        raise StoreError(expected("study database", "what a study wrote", f"{path}: {what}", remedy)) from error


def number_in(text: str | None, path: Path) -> float | None:
    """A number that a database keeps as text, or None where it keeps none.

    Raises:
        StoreError: where it is something else.
    """
    with parsed(path):
        value = None if text is None else float(text)
        if value is not None and not math.isfinite(value):
            raise ValueError(f"{text} for a number")
    return value
