"""Giving what a folder holds its new key, where a decoding turns out to be another one than its record said.

Not deciding which: that is `migrations` (what the folder itself tells) and `safebasin.run.prompt_settings` (what only
the study's files tell). Nothing is decoded, scored or judged anew; everything that names a decoding or one of its
responses follows in the transaction of the caller.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from safebasin.records import Decoding, Response, canonical_json
from safebasin.store.digests import EVERY

__all__ = ["rename_decoding"]

_CHILDREN = ("scores", "scores_under", "verdicts")
_BLANK = Response(point="", prompt="", system="", decoding="", text="", n_tokens=0, finish_reason="stop")


def rename_decoding(db: sqlite3.Connection, old: str, new: Decoding) -> None:
    """Let the responses under a decoding's key be those of another decoding.

    Where both hold a response to the same question, that of `new` stays, and takes over scores and verdicts of the same
    text. A row whose digest held keeps one that holds; of a row that was altered it still says so.

    Args:
        db: within a transaction.
        old: key that the decoding has in the database.
        new: what it is.
    """
    if new.key == old:
        return
    db.execute("PRAGMA defer_foreign_keys = ON")
    values = {"old": old, "key": new.key, "settings": canonical_json(new.settings)}
    _rewrite(db, "decodings", {"key": ":key", "settings": ":settings"}, "key = :old", values)
    _map_responses(db, old, new)
    _forget_other_texts(db)
    for table, column in (("responses", "key"), *((child, "response") for child in _CHILDREN)):
        changed = {column: f"(SELECT new FROM temp.renamed WHERE old = {table}.{column})"}
        changed |= {"decoding": ":key"} if table == "responses" else {}
        here = f"{column} IN (SELECT old FROM temp.renamed)"
        _rewrite(db, table, changed, here, {"key": new.key})
        db.execute(f"DELETE FROM {table} WHERE {here}")
    db.execute("DELETE FROM decodings WHERE key = ?", (old,))
    db.execute("DROP TABLE temp.renamed")
    _rename_facts(db, old, new.key)


def _map_responses(db: sqlite3.Connection, old: str, new: Decoding) -> None:
    """The table `renamed`: the key of each response, and the one it gets."""
    db.execute("CREATE TEMP TABLE renamed (old TEXT PRIMARY KEY, new TEXT NOT NULL)")
    query = "SELECT key, point, prompt, system, sample FROM responses WHERE decoding = ?"
    db.executemany(
        "INSERT INTO temp.renamed VALUES (?, ?)",
        [
            (key, replace(_BLANK, point=point, prompt=prompt, system=system, decoding=new.key, sample=sample).key)
            for key, point, prompt, system, sample in db.execute(query, (old,))
        ],
    )


def _forget_other_texts(db: sqlite3.Connection) -> None:
    """Of responses whose new key is taken by another text, forget scores and verdicts, which are not that text's."""
    other = """SELECT renamed.old FROM temp.renamed JOIN responses mine ON mine.key = renamed.old
               JOIN responses theirs ON theirs.key = renamed.new WHERE mine.text <> theirs.text"""
    for child in _CHILDREN:
        db.execute(f"DELETE FROM {child} WHERE response IN ({other})")


def _rename_facts(db: sqlite3.Connection, old: str, new: str) -> None:
    """Facts that are kept under a decoding's key, and the plan that names it."""
    for key, value in db.execute("SELECT key, value FROM meta").fetchall():
        parts = str(key).split(":")
        if parts[0] in ("asked", "split") and old in parts[1:2]:
            values = {"new": ":".join([parts[0], new, *parts[2:]]), "old": key}
            _rewrite(db, "meta", {"key": ":new"}, "key = :old", values)
            db.execute("DELETE FROM meta WHERE key = ?", (key,))
        elif key == "plan":
            plan: dict[str, Any] = json.loads(value)
            if plan["decoding"] == old:
                values = {"plan": canonical_json({**plan, "decoding": new}), "key": key}
                _rewrite(db, "meta", {"value": ":plan"}, "key = :key", values)


def _rewrite(
    db: sqlite3.Connection, table: str, changed: Mapping[str, str], where: str, values: Mapping[str, object]
) -> None:
    """Change columns of rows, and their digest where it held; rows whose new key is taken stay as they are.

    Args:
        db: within a transaction.
        table: a table with digests.
        changed: column → SQL expression of its new value.
        where: which rows.
        values: of the `:names` in both.
    """
    before, after = ", ".join(EVERY[table]), ", ".join(changed.get(column, column) for column in EVERY[table])
    sets = ", ".join(f"{column} = {expression}" for column, expression in changed.items())
    digest = f"digest = CASE digest WHEN content_digest({before}) THEN content_digest({after}) ELSE digest END"
    db.execute(f"UPDATE OR IGNORE {table} SET {sets}, {digest} WHERE {where}", values)
