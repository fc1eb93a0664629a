"""What is wrong inside a study's database: a damaged file, rows that point nowhere, content that is not what it was."""

from __future__ import annotations

import json
import sqlite3

from safebasin.errors import StoreError
from safebasin.records import System, content_hash
from safebasin.store.connection import parsed
from safebasin.store.db import StudyStore
from safebasin.store.digests import altered, undigested
from safebasin.store.values import unpack_text
from safebasin.store.withholding import is_withheld, leaking

__all__ = ["damage", "unchecked"]


def damage(store: StudyStore) -> list[str]:
    """Check the database in full and say what is found, in words; empty where the database is sound.

    Raises:
        StoreError: where the file cannot be read at all.
    """
    with store.reading() as db:
        found = [str(row[0]) for row in db.execute("PRAGMA integrity_check(20)") if row[0] != "ok"]
        found += [
            f"{row[0]} row {row[1]} refers to a missing {row[2]}" for row in db.execute("PRAGMA foreign_key_check")
        ]
        found += [f"{row} does not hold what was written" for row in altered(db)]
        found += leaking(store) if is_withheld(store) else _without_messages(store)
        try:
            found += _misplaced(store)
            found += _renamed(store, db)
        except StoreError as error:  # what was found so far is not lost over it
            found.append(str(error))
    return found


def _without_messages(store: StudyStore) -> list[str]:
    """Prompts that say nothing, and so could pass for any other."""
    return [f"prompt {key} has no messages" for key, prompt in store.prompts().items() if not prompt.messages]


def unchecked(store: StudyStore) -> int:
    """Rows without a digest: a release older than digests wrote them, and nothing has been written since."""
    with store.reading() as db:
        return undigested(db)


def _misplaced(store: StudyStore) -> list[str]:
    """Rows whose key is not that of their content."""
    found = [f"response {r.key} is stored under another key" for key, r in store.under_keys() if r.key != key]
    found += [
        f"prompt {key} is stored under another key" for key, prompt in store.prompts().items() if prompt.id != key
    ]
    return found


def _renamed(store: StudyStore, db: sqlite3.Connection) -> list[str]:
    """Points, system prompts and decodings whose key is not that of their content, digest or not."""
    with parsed(store.path):
        points = {key: json.loads(recipe) for key, recipe in db.execute("SELECT key, recipe FROM points")}
        systems = db.execute("SELECT id, text FROM systems").fetchall()
        found = [f"point {key}" for key, terms in points.items() if key != (content_hash(terms) if terms else "origin")]
        found += [f"system prompt {key}" for key, text in systems if _system_id(text) != key]
    found += [f"decoding {key}" for key, decoding in store.decodings().items() if decoding.key != key]
    return [f"{what} is stored under another key" for what in found]


def _system_id(text: str | bytes | None) -> str:
    return System(name="", text=None if text is None else unpack_text(text)).id
