"""Copies of a study's database for others, with its texts or without any. The original is only read.

Every row is written anew into a blank file, so that no page holds what was deleted or withheld. A row without its text
keeps the digest of the whole row: beside the original it can be told to be the same, by itself it cannot.
"""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

from safebasin.errors import StoreError, expected
from safebasin.records import NO_REPLY, canonical_json, content_hash
from safebasin.store.absorbing import DATED, TABLES
from safebasin.store.connection import connect, explained, parsed, transaction
from safebasin.store.db import StudyStore
from safebasin.store.digests import EVERY, WITHHELD
from safebasin.store.folder import DATABASE
from safebasin.store.migrations import migrate

__all__ = ["copy_database", "is_withheld", "leaking", "require_texts"]

_INSTEAD = {
    "prompts": {"messages": "'[]'", "behavior": "short_label(behavior)"},
    "responses": {"text": "''", "thinking": "''"},
    "verdicts": {
        "reason": f"CASE WHEN reason = 'cut' THEN reason WHEN reason LIKE '{NO_REPLY}%' THEN '{NO_REPLY}' ELSE '' END"
    },
}
"""Table → column → what stands there in a copy without texts. Reasons quote responses and the replies of judges."""
_PLAN = "plan"
"""The fact that says what the study was last asked, with the behavior of every prompt."""
_BLANK = {
    "prompts": "messages <> '[]' OR behavior <> short_label(behavior)",
    "responses": "text <> '' OR thinking <> ''",
    "verdicts": f"reason NOT IN ('', 'cut', '{NO_REPLY}')",
}
"""Table → rows of such a copy that hold a text all the same."""


def copy_database(folder: Path, target: Path, *, with_text: bool) -> None:
    """Write what the database of a folder holds into a new file. The same rows give the same bytes.

    Args:
        folder: of a study.
        target: a file that is not there.
        with_text: whether prompts, responses and the words of judges go along.

    Raises:
        StoreError: where either cannot be read or written.
    """
    source = folder / DATABASE
    with StudyStore.open(folder):  # of an older release: brought up to date first
        pass
    with explained(target), closing(connect(target)) as db:
        migrate(db)
        db.create_function("short_label", 1, short_label, deterministic=True)
        db.execute("PRAGMA synchronous = OFF")  # a copy that is cut short is made again
        db.execute("ATTACH DATABASE ? AS other", (str(source),))
        with explained(source), transaction(db, digests=False):
            for table in (*TABLES, "meta"):
                columns = (*EVERY[table], "digest", *(("created",) if table in DATED else ()))
                instead = {} if with_text else _INSTEAD.get(table, {})
                chosen = ", ".join(instead.get(column, column) for column in columns)
                db.execute(
                    f"INSERT INTO main.{table} ({', '.join(columns)}) SELECT {chosen} FROM other.{table} ORDER BY rowid"
                )
        db.execute("DETACH DATABASE other")
        if not with_text:
            with transaction(db):
                held = json.dumps({table: sorted(columns) for table, columns in _INSTEAD.items()})
                db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (WITHHELD, held))
                for (plan,) in db.execute("SELECT value FROM meta WHERE key = ?", (_PLAN,)).fetchall():
                    with parsed(source):
                        kept = _shortened(plan)
                    if kept != plan:
                        db.execute("UPDATE meta SET value = ?, digest = NULL WHERE key = ?", (kept, _PLAN))


def short_label(behavior: str | bytes) -> str | bytes:
    """A behavior's id as it is; of one that is a sentence, a hash, so that what it pairs with stays paired."""
    text = behavior.decode("utf-8", "replace") if isinstance(behavior, bytes) else str(behavior)
    return content_hash(text) if len(text.split()) > 1 else behavior


def _shortened(plan: str) -> str:
    """A stored plan, its prompts' behaviors as `short_label` has them; as it is where they are so already."""
    kept = json.loads(plan)
    behaviors = [one.get("behaviors", []) for one in kept.get("sets", [])]
    short = [[short_label(behavior) for behavior in of_set] for of_set in behaviors]
    if short == behaviors:
        return plan
    sets = [{**one, "behaviors": of_set} for one, of_set in zip(kept["sets"], short, strict=True)]
    return canonical_json({**kept, "sets": sets})


def is_withheld(store: StudyStore) -> bool:
    """Tell whether a database is a copy without texts."""
    return store.meta(WITHHELD) is not None


def leaking(store: StudyStore) -> list[str]:
    """Of a copy that says it is without texts: tables with rows that hold some, in words."""
    with store.reading() as db:
        db.create_function("short_label", 1, short_label, deterministic=True)
        counts = {table: db.execute(f"SELECT count(*) FROM {table} WHERE {rows}") for table, rows in _BLANK.items()}
        found = {table: count.fetchone()[0] for table, count in counts.items()}
    plan = store.meta(_PLAN)
    with parsed(store.path):
        found["meta"] = int(plan is not None and _shortened(plan) != plan)
    return [f"{n} rows of {table} hold texts, though it says that it is without" for table, n in found.items() if n]


def require_texts(store: StudyStore) -> None:
    """Check that a study has its texts, before it is judged, continued or shown.

    Raises:
        StoreError: where it is a copy without.
    """
    if is_withheld(store):
        remedy = "Work on the study itself; `stats` and `verify --recompute` work on this copy."
        folder = str(store.path.parent)
        raise StoreError(expected("study folder", "one with its texts", f"{folder}, a copy without", remedy))
