"""One SQLite file a study: what was asked, what came back, how it was scored and judged.

Every write is one transaction and `INSERT OR IGNORE` under a content key, so a process killed at any moment loses at
most the batch in flight and doing a thing twice changes nothing. Text is stored as UTF-8; a lone
surrogate, which SQLite cannot hold as text, goes through `surrogatepass` as bytes and comes back as it was.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from safebasin.records import (
    NO_REPLY,
    Decoding,
    Point,
    Prompt,
    Response,
    Score,
    System,
    Verdict,
    canonical_json,
)
from safebasin.store.coded import coded
from safebasin.store.connection import connect, explained, parsed, transaction
from safebasin.store.digests import insert_digested
from safebasin.store.folder import DATABASE
from safebasin.store.key_index import read_answered
from safebasin.store.migrations import migrate, pending
from safebasin.store.values import (
    flag_to_int,
    now,
    pack_score,
    pack_text,
    read_decoding,
    read_response,
    read_turn,
    read_verdict,
    stored_int,
    stored_text,
    unpack_score,
    unpack_text,
    written_turn,
)
from safebasin.study.answered import Answered

UNANSWERED = f"verdicts.label = 'unscored' AND verdicts.reason LIKE '{NO_REPLY}%'"
"""Where a verdict was asked for and not given: it is asked for again."""
_RENEWED = ", ".join(f"{c} = excluded.{c}" for c in ("label", "success", "reason", "created", "grade", "digest"))
IF_UNANSWERED = f"ON CONFLICT DO UPDATE SET {_RENEWED} WHERE {UNANSWERED}"
"""What becomes of a verdict that is there already."""
RESPONSE = "point, prompt, system, decoding, sample, text, thinking, n_tokens, finish_reason, broken, gap"
"""Columns of a response, as `read_response` takes them."""
NO_MESSAGES = "[]"
"""The messages of a prompt whose text is withheld (`safebasin.store.withholding`)."""
PAGE = 1_000
"""Responses that are read at a time."""


class StudyStore:
    """The database of one study folder. Readers may open it at any time; the writer holds `folder.writer`."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self.path = path

    @classmethod
    def open(cls, folder: Path) -> StudyStore:
        """Open (and create or migrate) the database of a folder.

        Raises:
            StoreError: where the file is damaged, not a database, or written by a newer safebasin.
        """
        path = folder / DATABASE
        with explained(path), parsed(path):
            db = connect(path)
            try:
                if pending(db):
                    migrate(db)
            except BaseException:
                db.close()
                raise
            return cls(db, path)

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def __enter__(self) -> StudyStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- meta: small facts that are set once ---------------------------------------------------------------------

    def meta(self, key: str) -> str | None:
        """A fact of the study, or None."""
        with self.reading() as db:
            row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else cast("str", row[0])

    def meta_keys(self) -> list[str]:
        """Names of the facts that are set, sorted."""
        with self.reading() as db:
            return [stored_text(key) for (key,) in db.execute("SELECT key FROM meta ORDER BY key")]

    def set_meta(self, key: str, value: str) -> None:
        """Set a fact, replacing an earlier one."""
        with self.transaction() as db:
            db.execute(
                "INSERT INTO meta (key, value) VALUES (?, ?) "
                "ON CONFLICT (key) DO UPDATE SET value = excluded.value, digest = NULL",
                (key, value),
            )

    # --- what is asked -----------------------------------------------------------------------------------------------

    def add_question(self, *, points: Iterable[Point], systems: Iterable[System], decoding: Decoding) -> None:
        """Record points, system prompts and decoding."""
        with self.transaction() as db:
            db.executemany(
                "INSERT OR IGNORE INTO points (key, recipe) VALUES (?, ?)",
                [(p.key, p.recipe) for p in points],
            )
            rows = [(s.id, pack_text(s.name), None if s.text is None else pack_text(s.text)) for s in systems]
            db.executemany("INSERT OR IGNORE INTO systems (id, name, text) VALUES (?, ?, ?)", rows)
            db.execute(
                "INSERT OR IGNORE INTO decodings (key, settings) VALUES (?, ?)",
                (decoding.key, canonical_json(decoding.settings)),
            )

    def add_prompts(self, prompts: Iterable[tuple[Prompt, int]]) -> None:
        """Record prompts, each with the number of its batch."""
        rows = [
            (
                p.id,
                pack_text(json.dumps([written_turn(m) for m in p.messages])),
                *map(pack_text, (p.source, p.category, p.behavior, p.label)),
                batch,
            )
            for p, batch in prompts
        ]
        columns = "(id, messages, source, category, behavior, label, batch)"
        with self.transaction() as db:
            db.executemany(f"INSERT OR IGNORE INTO prompts {columns} VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def batches(self) -> dict[str, int]:
        """Prompt id → number of the batch it was assigned to when it first entered the study."""
        with self.reading() as db:
            return {stored_text(key): stored_int(batch) for key, batch in db.execute("SELECT id, batch FROM prompts")}

    def prompts(self) -> dict[str, Prompt]:
        """Every prompt by id."""
        with self.reading() as db:
            rows = db.execute("SELECT id, messages, source, category, behavior, label FROM prompts").fetchall()
            return {
                key: Prompt(
                    messages=tuple(read_turn(m) for m in json.loads(unpack_text(messages))),
                    source=unpack_text(source),
                    category=unpack_text(category),
                    behavior=unpack_text(behavior),
                    label=unpack_text(label),
                    withheld_id=stored_text(key) if unpack_text(messages) == NO_MESSAGES else "",
                )
                for key, messages, source, category, behavior, label in rows
            }

    def systems(self) -> dict[str, System]:
        """Every system prompt by id."""
        with self.reading() as db:
            return {
                key: System(name=unpack_text(name), text=None if text is None else unpack_text(text))
                for key, name, text in db.execute("SELECT id, name, text FROM systems")
            }

    def decodings(self) -> dict[str, Decoding]:
        """Every decoding by key."""
        with self.reading() as db:
            rows = db.execute("SELECT key, settings FROM decodings ORDER BY rowid").fetchall()
            return {key: read_decoding(json.loads(settings)) for key, settings in rows}

    def used_decodings(self) -> set[str]:
        """Keys of the decodings that there are responses of; only the first of each is looked at."""
        there = "EXISTS (SELECT 1 FROM responses WHERE decoding = decodings.key)"
        with self.reading() as db:
            return {stored_text(key) for (key,) in db.execute(f"SELECT key FROM decodings WHERE {there}")}

    # --- what came back ----------------------------------------------------------------------------------------------

    def put_responses(self, responses: Iterable[Response]) -> None:
        """Store one batch of responses in one transaction."""
        rows = [
            (
                *(r.key, r.point, r.prompt, r.system, r.decoding, r.sample, pack_text(r.text), pack_text(r.thinking)),
                *(r.n_tokens, r.finish_reason, r.broken, r.gap),
            )
            for r in responses
        ]
        with self.transaction() as db:
            insert_digested(db, "responses", rows, created=now())

    def forget(self, point: str, decoding: str) -> None:
        """Delete the responses of one point, with their scores and verdicts, to measure it anew as a whole."""
        chosen = "(SELECT key FROM responses WHERE point = ? AND decoding = ?)"
        with self.transaction() as db:
            for table in ("verdicts", "scores", "scores_under"):
                db.execute(f"DELETE FROM {table} WHERE response IN {chosen}", (point, decoding))
            db.execute("DELETE FROM responses WHERE point = ? AND decoding = ?", (point, decoding))

    def put_scores(self, scores: Iterable[Score], *, reopened: Iterable[str] = ()) -> None:
        """Store scores in one transaction, each under θ₀ or under the point it names.

        Args:
            scores: a response that has one there keeps it.
            reopened: judges; that they could not tell of these responses is forgotten, since they may be able to now.
        """
        kept = list(scores)
        untold = [(score.response, judge) for judge in reopened for score in kept if score.nll]
        here = [(s.response, *pack_score(s)) for s in kept if not s.under]
        under = [(s.response, s.under, *pack_score(s)) for s in kept if s.under]
        with self.transaction() as db:
            insert_digested(db, "scores", here)
            insert_digested(db, "scores_under", under)
            query = "DELETE FROM verdicts WHERE response = ? AND judge = ? AND label = 'unscored' AND reason <> 'cut'"
            db.executemany(query, untold)

    def put_verdicts(self, verdicts: Iterable[Verdict]) -> int:
        """Store verdicts in one transaction; returns how many were new. One that was `NO_REPLY` is replaced."""
        rows = [
            (v.response, v.judge, v.version, v.label, flag_to_int(v.success), pack_text(v.reason), v.grade)
            for v in verdicts
        ]
        with self.transaction() as db:
            before = db.total_changes
            insert_digested(db, "verdicts", rows, created=now(), otherwise=IF_UNANSWERED)
            return db.total_changes - before

    def done(self, decoding: str, *, sample: int = 0) -> Answered:
        """Read what the stored responses of a decoding answer, of one of its samples: from an index, pair by pair."""
        with self.reading() as db:
            return read_answered(db, decoding, sample)

    def scored(self, under: str = "") -> set[str]:
        """Keys of the responses that have a score under θ₀, or under the point of a key."""
        query, given = "SELECT response FROM scores", ()
        if under:
            query, given = "SELECT response FROM scores_under WHERE point = ?", (under,)
        with self.reading() as db:
            return {key for (key,) in db.execute(query, given)}

    def responses(self, decoding: str | None = None, *, point: str | None = None) -> Iterator[Response]:
        """Stored responses, ordered by key; all of them, or those of a decoding, of a point. Read a page at a time."""
        return (response for _, response in self.under_keys(decoding, point=point))

    def under_keys(self, decoding: str | None = None, *, point: str | None = None) -> Iterator[tuple[str, Response]]:
        """The same, each with the key that it is stored under."""
        # with +, no index is looked at: keys stay in order without a sort for each page, …
        chosen, key = "+decoding = coalesce(:decoding, decoding)", "key"
        if point is not None:  # … or the few of a point are sorted, rather than all rows gone through
            chosen, key = "decoding = coalesce(:decoding, decoding) AND point = :point", "+key"
        if point is not None and decoding is not None:
            chosen = "decoding = :decoding AND point = :point"
        query = f"SELECT key, {RESPONSE} FROM responses WHERE {chosen} AND {key} > :after ORDER BY {key} LIMIT {PAGE}"
        page, after = [()], ""
        while page:
            with self.reading() as db:
                given = {"decoding": decoding, "point": point, "after": after}
                page = db.execute(query, given).fetchall()
                found = [(row[0], read_response(row[1:])) for row in page]
            after = page[-1][0] if page else ""
            yield from found

    def keyed(self, keys: Iterable[str]) -> dict[str, Response]:
        """The responses under some keys, by these."""
        query = f"SELECT key, {RESPONSE} FROM responses WHERE key IN (SELECT value FROM json_each(?))"
        with self.reading() as db:
            return {key: read_response(tuple(row)) for key, *row in db.execute(query, (json.dumps(list(keys)),))}

    def responses_of(self, keys: Iterable[str]) -> list[Response]:
        """The responses under some keys, ordered by key."""
        query = f"SELECT {RESPONSE} FROM responses WHERE key IN (SELECT value FROM json_each(?)) ORDER BY key"
        with self.reading() as db:
            return [read_response(row) for row in db.execute(query, (json.dumps(list(keys)),))]

    def scores(self, keys: Iterable[str]) -> dict[str, Score]:
        """Scores under θ₀ by key of some responses, each with those under further points."""
        chosen = "response IN (SELECT value FROM json_each(?))"
        with self.reading() as db:
            given = (json.dumps(list(keys)),)
            also: dict[str, list[Score]] = {}
            query = f"SELECT response, nll, ends, point FROM scores_under WHERE {chosen} ORDER BY point"
            for key, nll, ends, point in db.execute(query, given):
                also.setdefault(key, []).append(unpack_score(key, nll, ends, under=point))
            rows = db.execute(f"SELECT response, nll, ends FROM scores WHERE {chosen}", given)
            found = {key: unpack_score(key, nll, ends) for key, nll, ends in rows}
            return found | {key: replace(found[key], also=tuple(more)) for key, more in also.items() if key in found}

    def judge_versions(self) -> list[tuple[str, str, int]]:
        """(judge, version, number of verdicts) of everything stored, sorted."""
        n: Counter[tuple[str, str]] = Counter()
        with self.reading() as db:
            for known, numbers, _ in coded(db, "verdicts", ("judge", "version"), "''"):
                counted = np.bincount(numbers, minlength=len(known)).tolist()
                for (judge, version), count in zip(known, counted, strict=True):
                    n[stored_text(judge), stored_text(version)] += count
        return sorted((judge, version, count) for (judge, version), count in n.items())

    def verdicts_of(self, keys: Iterable[str]) -> dict[str, list[Verdict]]:
        """Every verdict on some responses, by response key, judges sorted."""
        wanted = list(keys)
        found: dict[str, list[Verdict]] = {key: [] for key in wanted}
        query = """SELECT response, judge, version, label, success, reason, grade FROM verdicts
                   WHERE response IN (SELECT value FROM json_each(?)) ORDER BY judge, version"""
        with self.reading() as db:
            for row in db.execute(query, (json.dumps(wanted),)):
                found[row[0]].append(read_verdict(row))
        return found

    def counts(self) -> dict[str, int]:
        """Number of rows of each table."""
        tables = ("points", "prompts", "systems", "decodings", "responses", "scores", "verdicts")
        with self.reading() as db:
            return {t: db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in tables}

    def near_ties(self, decoding: str, threshold: float) -> int:
        """Responses whose smallest top-2 logit gap is below `threshold`: other hardware may decode them differently."""
        with self.reading() as db:
            query = "SELECT count(*) FROM responses WHERE decoding = ? AND gap < ?"
            return int(db.execute(query, (decoding, threshold)).fetchone()[0])

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """The connection; errors of SQLite, and of stored values that do not parse, become help."""
        with explained(self.path), parsed(self.path):
            yield self._db

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """The connection, in one transaction; SQLite's errors become help."""
        with explained(self.path), transaction(self._db):
            yield self._db
