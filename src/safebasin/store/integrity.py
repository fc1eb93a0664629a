"""What is wrong inside a study's database: a damaged file, rows that point nowhere, content that is not what it was."""

from __future__ import annotations

import sqlite3

from safebasin.errors import StoreError
from safebasin.store.db import StudyStore
from safebasin.store.digests import altered, undigested

__all__ = ["damage", "unchecked"]


def damage(store: StudyStore) -> list[str]:
    """What a full check finds, in words; empty where the database is sound.

    Raises:
        StoreError: where the file cannot be read at all.
    """
    with store.reading() as db:
        found = [str(row[0]) for row in db.execute("PRAGMA integrity_check(20)") if row[0] != "ok"]
        found += [
            f"{row[0]} row {row[1]} refers to a missing {row[2]}" for row in db.execute("PRAGMA foreign_key_check")
        ]
        found += [f"{row} does not hold what was written" for row in altered(db)]
        try:
            found += _misplaced(store, db)
        except StoreError as error:  # what was found so far is not lost over it
            found.append(str(error))
    return found


def unchecked(store: StudyStore) -> int:
    """Rows without a digest: a release older than digests wrote them, and nothing has been written since."""
    with store.reading() as db:
        return undigested(db)


def _misplaced(store: StudyStore, db: sqlite3.Connection) -> list[str]:
    """Rows whose key is not that of their content."""
    known = {key for (key,) in db.execute("SELECT key FROM responses")}
    found = [f"response {r.key} is stored under another key" for r in store.responses() if r.key not in known]
    found += [
        f"prompt {key} is stored under another key" for key, prompt in store.prompts().items() if prompt.id != key
    ]
    return found
