"""The schema of a study's database, as a list of steps that are applied once and in order.

A step is never edited after a release; a change is a new step at the end. Keys are content hashes
(`safebasin.records`), so inserting twice is a no-op and a row never has to be updated.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from safebasin.errors import StoreError, expected
from safebasin.store.connection import transaction
from safebasin.store.digests import DIGESTED, LATE, SETTLED, digest, undigested
from safebasin.store.renaming import rename_decoding
from safebasin.store.values import read_decoding

MIGRATIONS: list[Callable[[sqlite3.Connection], None]] = []


def _step(function: Callable[[sqlite3.Connection], None]) -> Callable[[sqlite3.Connection], None]:
    MIGRATIONS.append(function)
    return function


def migrate(db: sqlite3.Connection) -> None:
    """Bring a database, blank or old, to the newest schema in one transaction.

    Releases up to 0.1 committed each statement of the schema by itself, so that a process killed then left tables that
    no row in `migrations` speaks of. Every step therefore makes only what is not there. Rows of a release without
    digests get theirs at the next write, so that `verify` can say first that nothing is known of them.
    """
    with transaction(db, digests=False):
        db.execute("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY)")
        lacking = set(pending(db))
        for step in MIGRATIONS:
            if step.__name__ in lacking:
                step(db)
                db.execute("INSERT INTO migrations VALUES (?)", (step.__name__,))
        older = undigested(db)
        if older:
            said = (LATE, str(older), digest(LATE, str(older)))
            db.execute("INSERT OR IGNORE INTO meta (key, value, digest) VALUES (?, ?, ?)", said)


def pending(db: sqlite3.Connection) -> list[str]:
    """Names of the steps that this database still lacks.

    Raises:
        StoreError: where a step is applied that is not known here.
    """
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'migrations'").fetchone() is None:
        return [step.__name__ for step in MIGRATIONS]
    applied = {str(name) for (name,) in db.execute("SELECT name FROM migrations")}
    newer = sorted(applied - {step.__name__ for step in MIGRATIONS})
    if newer:
        remedy = "A newer release wrote it: update safebasin."
        raise StoreError(expected("study database", "of a schema that this release knows", newer[0], remedy))
    return [step.__name__ for step in MIGRATIONS if step.__name__ not in applied]


def _add_column(db: sqlite3.Connection, table: str, column: str) -> None:
    """Add a column, e.g. `grade REAL`, unless it is there."""
    if column.split()[0] not in {name for _, name, *_ in db.execute(f"PRAGMA table_info({table})")}:
        db.execute(f"ALTER TABLE {table} ADD COLUMN {column}")


@_step
def m001_initial(db: sqlite3.Connection) -> None:
    """Points, prompts, systems, decodings → responses → scores and verdicts."""
    statements = (
        "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
        "CREATE TABLE IF NOT EXISTS points (key TEXT PRIMARY KEY, recipe TEXT NOT NULL)",
        """CREATE TABLE IF NOT EXISTS prompts (
            id TEXT PRIMARY KEY, messages BLOB NOT NULL, source TEXT NOT NULL,
            category TEXT NOT NULL, behavior TEXT NOT NULL, label TEXT NOT NULL, batch INTEGER NOT NULL)""",
        "CREATE TABLE IF NOT EXISTS systems (id TEXT PRIMARY KEY, name TEXT NOT NULL, text TEXT)",
        "CREATE TABLE IF NOT EXISTS decodings (key TEXT PRIMARY KEY, settings TEXT NOT NULL)",
        """CREATE TABLE IF NOT EXISTS responses (
            key TEXT PRIMARY KEY,
            point TEXT NOT NULL REFERENCES points, prompt TEXT NOT NULL REFERENCES prompts,
            system TEXT NOT NULL REFERENCES systems, decoding TEXT NOT NULL REFERENCES decodings,
            sample INTEGER NOT NULL, text BLOB NOT NULL, thinking BLOB NOT NULL, n_tokens INTEGER NOT NULL,
            finish_reason TEXT NOT NULL, broken TEXT NOT NULL, gap REAL, created TEXT NOT NULL)""",
        "CREATE INDEX IF NOT EXISTS responses_by_place ON responses (decoding, point, system)",
        """CREATE TABLE IF NOT EXISTS scores (
            response TEXT PRIMARY KEY REFERENCES responses, nll BLOB NOT NULL, ends BLOB NOT NULL)""",
        """CREATE TABLE IF NOT EXISTS verdicts (
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
        """CREATE TABLE IF NOT EXISTS measurements (
            point TEXT NOT NULL REFERENCES points, name TEXT NOT NULL, setting TEXT NOT NULL,
            value REAL, error REAL, n INTEGER NOT NULL, created TEXT NOT NULL,
            PRIMARY KEY (point, name, setting))"""
    )


@_step
def m003_grades(db: sqlite3.Connection) -> None:
    """A judge's own number beside its verdict: 1 to 5 of a rubric."""
    _add_column(db, "verdicts", "grade REAL")


@_step
def m004_scores_under(db: sqlite3.Connection) -> None:
    """Scores of the same texts under further points than θ₀."""
    db.execute(
        """CREATE TABLE IF NOT EXISTS scores_under (
            response TEXT NOT NULL REFERENCES responses, point TEXT NOT NULL, nll BLOB NOT NULL, ends BLOB NOT NULL,
            PRIMARY KEY (response, point))"""
    )


@_step
def m005_digests(db: sqlite3.Connection) -> None:
    """A digest of each row's content; the index holds the rows that have none yet, and is empty but for a moment."""
    _add_digests(db, DIGESTED)


@_step
def m006_digests_of_questions(db: sqlite3.Connection) -> None:
    """The same for points, system prompts, decodings, facts and measurements."""
    _add_digests(db, SETTLED)


@_step
def m007_resolved(db: sqlite3.Connection) -> None:
    """Decodings under the dtype and by the engine that were recorded with their responses, where they said `auto`.

    What was not recorded stays: it is asked for when the study is continued (`safebasin.run.prompt_settings`).
    """
    facts = dict(db.execute("SELECT key, value FROM meta WHERE key LIKE 'asked:%'").fetchall())
    for key, settings in db.execute("SELECT key, settings FROM decodings ORDER BY rowid").fetchall():
        decoding = read_decoding(json.loads(settings))
        asked = json.loads(facts.get(f"asked:{key}", "{}"))
        made = replace(
            decoding,
            dtype=str(asked.get("dtype", decoding.dtype)) if decoding.dtype == "auto" else decoding.dtype,
            engine=str(asked.get("engine", decoding.engine)),
        )
        rename_decoding(db, key, made)


@_step
def m008_places_by_index(db: sqlite3.Connection) -> None:
    """An index that tells what stands where, and how near to a tie it came, without the pages that hold the texts."""
    db.execute(
        """CREATE INDEX IF NOT EXISTS responses_at_place
           ON responses (decoding, point, system, prompt, sample, key, gap)"""
    )
    db.execute("DROP INDEX IF EXISTS responses_by_place")


def _add_digests(db: sqlite3.Connection, tables: Mapping[str, Sequence[str]]) -> None:
    for table, (key, *_) in tables.items():
        _add_column(db, table, "digest BLOB")
        db.execute(f"CREATE INDEX IF NOT EXISTS {table}_undigested ON {table} ({key}) WHERE digest IS NULL")
