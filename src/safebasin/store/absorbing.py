"""Rows of other databases of the same study, taken over under their keys; what differs under one key is refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from safebasin.errors import StoreError, expected
from safebasin.store.connection import transaction
from safebasin.store.db import StudyStore
from safebasin.store.digests import EVERY
from safebasin.store.folder import DATABASE

__all__ = ["absorb", "absorb_point"]

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
WRITTEN = ("prompts", "systems", "decodings", "points", "responses", "scores")
"""Tables that hold what was asked and what came back, without anybody's opinion of it but that of θ₀."""
DATED = ("responses", "verdicts", "measurements")
"""Tables whose rows say when they were made."""


def absorb(store: StudyStore, others: Sequence[Path]) -> None:
    """Take over all rows of the databases in some folders, in one transaction for each.

    Raises:
        StoreError: where one holds a row whose content differs from that of the same key here.
    """
    for folder in others:
        with _attached(store, folder) as db:
            for table, key in TABLES.items():
                _check(db, table, key, folder)
                _copy(db, table)


def absorb_point(store: StudyStore, other: Path, point: str) -> None:
    """Take over what was asked and answered at one point, and the scores of it under θ₀, in one transaction.

    Args:
        store: of a study of the same model.
        other: folder of the study that has it.
        point: its key.
    """
    there = "SELECT key FROM other.responses WHERE point = ?"
    chosen = {"points": "key = ?", "responses": "point = ?", "scores": f"response IN ({there})"}
    with _attached(store, other) as db:
        for table in WRITTEN:
            _copy(db, table, chosen.get(table, "? IS NOT NULL"), point)


@contextmanager
def _attached(store: StudyStore, folder: Path) -> Generator[sqlite3.Connection]:
    """The connection of a store in one transaction, with the database of another folder as `other`."""
    with StudyStore.open(folder):  # of an older release: brought up to date first
        pass
    with store.reading() as db:
        db.execute("ATTACH DATABASE ? AS other", (str(folder / DATABASE),))
        try:
            with transaction(db):
                yield db
        finally:
            db.execute("DETACH DATABASE other")


def _copy(db: sqlite3.Connection, table: str, chosen: str = "TRUE", *given: str) -> None:
    columns = ", ".join((*EVERY[table], "digest", *(("created",) if table in DATED else ())))
    db.execute(f"INSERT OR IGNORE INTO {table} ({columns}) SELECT {columns} FROM other.{table} WHERE {chosen}", given)


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
