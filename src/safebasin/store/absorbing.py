"""Rows of other databases of the same study, taken over under their keys; what differs under one key is refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from safebasin.errors import StoreError, expected
from safebasin.store.connection import transaction
from safebasin.store.db import StudyStore
from safebasin.store.digests import EVERY
from safebasin.store.folder import DATABASE

__all__ = ["absorb"]

TABLES = {
    "prompts": ("id",),
    "systems": ("id",),
    "decodings": ("key",),
    "points": ("key",),
    "responses": ("key",),
    "scores": ("response",),
    "scores_under": ("response", "point"),
    "verdicts": ("response", "judge", "version"),
    "measurements": ("point", "name", "setting"),
}
"""Table → its key, those that others refer to first. Facts of a study (`meta`) are the caller's business."""
DATED = ("responses", "verdicts", "measurements")
"""Tables whose rows say when they were made."""


def absorb(store: StudyStore, others: Sequence[Path]) -> None:
    """Take over all rows of the databases in some folders, in one transaction for each.

    Raises:
        StoreError: where one holds a row whose content differs from that of the same key here.
    """
    for folder in others:
        with StudyStore.open(folder):  # of an older release: brought up to date first
            pass
        with store.reading() as db:
            db.execute("ATTACH DATABASE ? AS other", (str(folder / DATABASE),))
            try:
                with transaction(db):
                    for table, key in TABLES.items():
                        _check(db, table, key, folder)
                        columns = ", ".join((*EVERY[table], "digest", *(("created",) if table in DATED else ())))
                        db.execute(f"INSERT OR IGNORE INTO {table} ({columns}) SELECT {columns} FROM other.{table}")
            finally:
                db.execute("DETACH DATABASE other")


def _check(db: sqlite3.Connection, table: str, key: Sequence[str], folder: Path) -> None:
    query = (
        f"SELECT count(*) FROM main.{table} AS here JOIN other.{table} AS there USING ({', '.join(key)}) "
        "WHERE here.digest IS NOT there.digest"
    )
    (n,) = db.execute(query).fetchone()
    if n:
        what = f"{n} {table} of {folder} that differ from those of the shards before it"
        remedy = "Verify the folders (safebasin verify DIR); measure the one that is wrong again."
        raise StoreError(expected("rows under one key", "the same in every shard", what, remedy))
