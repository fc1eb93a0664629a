"""A study's database looked at: opened so that nothing is written to its file, which another process may write to."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from safebasin.store.connection import WAIT_S, check_plain, explained, parsed
from safebasin.store.db import StudyStore
from safebasin.store.digests import digest
from safebasin.store.folder import DATABASE
from safebasin.store.migrations import migrate, pending

__all__ = ["open_read_only"]


def open_read_only(folder: Path, *, in_memory: bool = False) -> StudyStore:
    """Open the database of a folder to look at it. The pages of the file are not checked.

    One of an older schema is brought up to date in a copy in memory.

    Args:
        folder: of the study.
        in_memory: copy any into memory, where it may be written to.

    Raises:
        StoreError: where the file is damaged, not a database, or written by a newer safebasin; also where its writer
            was killed, and it waits to be recovered.
    """
    path = folder / DATABASE
    with explained(path), parsed(path):
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=WAIT_S, isolation_level=None)
        try:
            check_plain(db)
            if in_memory or pending(db):
                old, db = db, _copied(db)
                old.close()
            if pending(db):
                migrate(db)
        except BaseException:
            db.close()
            raise
        return StudyStore(db, path)


def _copied(db: sqlite3.Connection) -> sqlite3.Connection:
    copy = sqlite3.connect(":memory:", isolation_level=None)
    copy.create_function("content_digest", -1, digest, deterministic=True)
    db.backup(copy)
    return copy
