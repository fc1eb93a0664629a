"""The schema of a study's database, as a list of steps that are applied once and in order.

A step is never edited after a release; a change is a new step at the end. Keys are content hashes
(`safebasin.records`), so inserting twice is a no-op and a row never has to be updated.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

MIGRATIONS: list[Callable[[sqlite3.Connection], None]] = []


def _step(function: Callable[[sqlite3.Connection], None]) -> Callable[[sqlite3.Connection], None]:
    MIGRATIONS.append(function)
    return function


def migrate(db: sqlite3.Connection) -> None:
    """Bring a database, blank or old, to the newest schema in one transaction."""
    with db:
        db.execute("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY)")
        applied = {name for (name,) in db.execute("SELECT name FROM migrations")}
        for step in MIGRATIONS:
            if step.__name__ not in applied:
                step(db)
                db.execute("INSERT INTO migrations VALUES (?)", (step.__name__,))


def pending(db: sqlite3.Connection) -> list[str]:
    """Names of the steps that this database still lacks; unknown names in it mean a newer safebasin wrote it."""
    applied = {name for (name,) in db.execute("SELECT name FROM migrations")}
    return [step.__name__ for step in MIGRATIONS if step.__name__ not in applied]


@_step
def m001_initial(db: sqlite3.Connection) -> None:
    """Points, prompts, systems, decodings → responses → scores and verdicts."""
    statements = (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
        "CREATE TABLE points (key TEXT PRIMARY KEY, recipe TEXT NOT NULL)",
        """CREATE TABLE prompts (
            id TEXT PRIMARY KEY, messages BLOB NOT NULL, source TEXT NOT NULL,
            category TEXT NOT NULL, behavior TEXT NOT NULL, label TEXT NOT NULL, batch INTEGER NOT NULL)""",
        "CREATE TABLE systems (id TEXT PRIMARY KEY, name TEXT NOT NULL, text TEXT)",
        "CREATE TABLE decodings (key TEXT PRIMARY KEY, settings TEXT NOT NULL)",
        """CREATE TABLE responses (
            key TEXT PRIMARY KEY,
            point TEXT NOT NULL REFERENCES points, prompt TEXT NOT NULL REFERENCES prompts,
            system TEXT NOT NULL REFERENCES systems, decoding TEXT NOT NULL REFERENCES decodings,
            sample INTEGER NOT NULL, text BLOB NOT NULL, thinking BLOB NOT NULL, n_tokens INTEGER NOT NULL,
            finish_reason TEXT NOT NULL, broken TEXT NOT NULL, gap REAL, created TEXT NOT NULL)""",
        "CREATE INDEX responses_by_place ON responses (decoding, point, system)",
        "CREATE TABLE scores (response TEXT PRIMARY KEY REFERENCES responses, nll BLOB NOT NULL, ends BLOB NOT NULL)",
        """CREATE TABLE verdicts (
            response TEXT NOT NULL REFERENCES responses, judge TEXT NOT NULL, version TEXT NOT NULL,
            label TEXT NOT NULL, success INTEGER, reason BLOB NOT NULL, created TEXT NOT NULL,
            PRIMARY KEY (response, judge, version))""",
    )
    for statement in statements:
        db.execute(statement)


@_step
def m002_measurements(db: sqlite3.Connection) -> None:
    """Numbers measured at a point that are no verdicts: perplexity, KL, scores of tasks."""
    db.execute(
        """CREATE TABLE measurements (
            point TEXT NOT NULL REFERENCES points, name TEXT NOT NULL, setting TEXT NOT NULL,
            value REAL, error REAL, n INTEGER NOT NULL, created TEXT NOT NULL,
            PRIMARY KEY (point, name, setting))"""
    )


@_step
def m003_grades(db: sqlite3.Connection) -> None:
    """A judge's own number beside its verdict: 1 to 5 of a rubric."""
    db.execute("ALTER TABLE verdicts ADD COLUMN grade REAL")


@_step
def m004_scores_under(db: sqlite3.Connection) -> None:
    """Scores of the same texts under further points than θ₀."""
    db.execute(
        """CREATE TABLE scores_under (
            response TEXT NOT NULL REFERENCES responses, point TEXT NOT NULL, nll BLOB NOT NULL, ends BLOB NOT NULL,
            PRIMARY KEY (response, point))"""
    )
