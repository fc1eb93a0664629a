"""The rows of one plan, out of all that the database of a study holds: chosen by SQL, read a part at a time.

A folder may hold more than its plan asks for: other decodings, points, prompts. Nothing here reads a table to throw
most of it away, and nothing holds more texts or scores than one page.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from safebasin.records import FinishReason, Response, Score, Verdict, Wording
from safebasin.store.completeness import every_response_has
from safebasin.store.db import PAGE, RESPONSE, UNANSWERED, StudyStore
from safebasin.store.key_index import KeyIndex, unhex
from safebasin.store.values import read_response, read_verdict, stored_text, stored_texts, unpack_texts
from safebasin.study.plan import Plan

__all__ = ["PlanRows", "StoredPlace"]

_ASKED = """r.decoding = :decoding AND r.point IN (SELECT value FROM json_each(:points))
    AND +r.system IN (SELECT value FROM json_each(:systems)) AND +r.prompt IN (SELECT value FROM json_each(:prompts))"""
"""With +, the rows of a point are read one after the other, and none is looked for."""
_LEFT_OUT = """ AND NOT (+r.point IN (SELECT value FROM json_each(:points_{0}))
    AND +r.prompt IN (SELECT value FROM json_each(:left_out_{0})))"""
"""Of points at which some prompts are not asked, by the number of their kind."""
_OF_JUDGE = """verdicts.response = r.key AND verdicts.judge = :judge
    AND verdicts.version = coalesce(:version, verdicts.version)"""
_UNJUDGED = f"NOT EXISTS (SELECT 1 FROM verdicts WHERE {_OF_JUDGE} AND NOT ({UNANSWERED}))"


WORDINGS = 4_000
"""Texts that are judged at a time by wording alone."""
WINDOW = 200_000
"""Rows of a table whose keys are joined at a time."""
_BY_KEY = [(digit, chr(ord(digit) + 1)) for digit in "0123456789abcdef"]
"""Parts of all keys of responses, by their first digit: from the one to before the other."""
_ANY_UNANSWERED = f"SELECT EXISTS (SELECT 1 FROM verdicts WHERE {UNANSWERED})"
_LAST_VERDICT = "SELECT coalesce(max(rowid), 0) FROM verdicts"
_SMALL_PART = 20
"""A plan of less than one in so many of a folder's responses is asked for row by row."""


class _Had(NamedTuple):
    """A kind of row of a table that a response may have."""

    condition: str
    """SQL that such a row meets."""
    lacking: str
    """SQL that a response `r` without one meets, after AND."""
    given: Mapping[str, str]
    """Values of the `:names` in both."""


@dataclass(frozen=True, slots=True)
class StoredPlace:
    """A stored response without its text: what it answers, and where."""

    key: str
    """`Response.key`."""
    point: str
    system: str
    prompt: str


@dataclass(frozen=True, slots=True)
class PlanRows:
    """The rows of a plan in a database."""

    store: StudyStore
    asked: Mapping[str, str]
    """The keys of the plan's decoding, points, system prompts and prompts, as SQL takes them."""
    condition: str
    """SQL that a response `r` of the plan meets, the rows of a point read one after the other."""

    @classmethod
    def of(cls, store: StudyStore, plan: Plan) -> PlanRows:
        """The rows of a plan in a database."""
        chosen = {
            "points": list(plan.point_keys),
            "systems": [system.id for system in plan.systems],
            "prompts": list(plan.prompts),
        }
        for kind, (prompts, points) in enumerate(plan.stopped_points.items()):
            chosen |= {f"points_{kind}": list(points), f"left_out_{kind}": sorted(prompts)}
        lists = {name: json.dumps(keys) for name, keys in chosen.items()}
        condition = _ASKED + "".join(_LEFT_OUT.format(kind) for kind in range(len(plan.stopped_points)))
        return cls(store, {"decoding": plan.decoding.key, **lists}, condition)

    @property
    def _by_key(self) -> str:
        """The condition where responses are read in the order of their keys: with +, no other index is looked at."""
        return re.sub(r"\+?\br\.", "+r.", self.condition)

    # --- how many ----------------------------------------------------------------------------------------------------

    def count(self) -> int:
        """Responses that are there."""
        return self._count("")

    def count_unscored(self, under: str = "") -> int:
        """Of these, those without a score under θ₀, or under the point of a key."""
        table, condition = ("scores_under", "point = :under") if under else ("scores", "TRUE")
        with self.store.reading() as db:
            if every_response_has(db, table, [{"point": under} if under else {}]):
                return 0
        return self._count_lacking(table, [_Had(condition, f"AND {_unscored(under)}", {"under": under})])[0]

    def count_unjudged(self, judges: Sequence[tuple[str, str]]) -> list[int]:
        """Of these, those without a verdict, for each of some judges, (name, version)."""
        given = [{"judge": judge, "version": version} for judge, version in judges]
        with self.store.reading() as db:
            if every_response_has(db, "verdicts", given) and not db.execute(_ANY_UNANSWERED).fetchone()[0]:
                return [0] * len(given)
        told = f"judge = :judge AND version = :version AND NOT ({UNANSWERED})"
        return self._count_lacking("verdicts", [_Had(told, f"AND {_UNJUDGED}", one) for one in given])

    def count_cut(self, judge: str, version: str) -> int:
        """Of these, those that a judge cannot decide, since a stop rule had cut them."""
        query = f"""SELECT count(*) FROM verdicts CROSS JOIN responses r ON {_OF_JUDGE}
                    WHERE label = 'unscored' AND reason = 'cut' AND {self._by_key}"""  # in this order: few are cut
        with self.store.reading() as db:
            return int(db.execute(query, {**self.asked, "judge": judge, "version": version}).fetchone()[0])

    def _count_lacking(self, table: str, had: Sequence[_Had]) -> list[int]:
        """Count the responses that a table has no such row of, for each kind of row.

        The table is read once, and its keys are looked up among those of the plan: some ten times as fast as to ask
        for every response. Not where the plan is a small part of what is there.
        """
        n = self.count()
        with self.store.reading() as db:
            if n * _SMALL_PART > db.execute("SELECT count(*) FROM responses").fetchone()[0]:
                with suppress(ValueError):  # keys that damage left, which no response has
                    index = KeyIndex.of(self._keys(db))
                    return [n - int(np.count_nonzero(told)) for told in self._told(db, table, had, index)]
        return [self._count(one.lacking, **one.given) for one in had]

    def _told(
        self, db: sqlite3.Connection, table: str, had: Sequence[_Had], index: KeyIndex
    ) -> list[NDArray[np.bool_]]:
        """For each kind of row of a table, whether each response has one."""
        found = [np.zeros(index.at.size, dtype=bool) for _ in had]
        chosen = [re.sub(r":(\w+)", rf":\g<1>{i}", one.condition) for i, one in enumerate(had)]
        given = {f"{name}{i}": value for i, one in enumerate(had) for name, value in one.given.items()}
        columns = ", ".join(
            f"count(*) FILTER (WHERE {one}), group_concat(response, '') FILTER (WHERE {one})" for one in chosen
        )
        within, windows = "response >= :start AND response < :end", _BY_KEY  # an index tells it
        if table == "verdicts":  # whose rows have to be read, so in the order of the file
            within, last = "rowid >= :start AND rowid < :end", db.execute(_LAST_VERDICT).fetchone()[0]
            windows = [(start, start + WINDOW) for start in range(0, last + 1, WINDOW)]
        for start, end in windows:
            query = f"SELECT {columns} FROM {table} WHERE {within}"
            row = db.execute(query, {**given, "start": start, "end": end}).fetchone()
            for told, count, keys in zip(found, row[::2], row[1::2], strict=True):
                told[index.find(unhex(keys, count))] = True
        return found

    def _keys(self, db: sqlite3.Connection) -> Iterator[tuple[bytes, NDArray[np.int32]]]:
        """The keys of all responses, in any order, joined point by point, and a number for each."""
        query, begun = (
            f"SELECT count(*), group_concat(key, '') FROM responses r WHERE {self.condition} GROUP BY point",
            0,
        )
        for n, keys in db.execute(query, self.asked):
            yield unhex(keys, n), np.arange(begun, begun + n, dtype=np.int32)
            begun += n

    def _count(self, condition: str, **given: str) -> int:
        with self.store.reading() as db:
            query = f"SELECT count(*) FROM responses r WHERE {self.condition} {condition}"
            return int(db.execute(query, {**self.asked, **given}).fetchone()[0])

    # --- without texts -----------------------------------------------------------------------------------------------

    def places(self) -> list[StoredPlace]:
        """Every response, ordered by key."""
        return self._places("")

    def unscored(self, under: str = "") -> list[StoredPlace]:
        """List the responses without a score under θ₀, or under the point of a key."""
        return self._places(f"AND {_unscored(under)}", under=under)

    def verdicts_by(self, judge: str, version: str | None = None) -> Iterator[Verdict]:
        """The verdicts of a judge with their reasons, versions in order; of one version, or of all if None."""
        query = f"""SELECT response, judge, version, label, success, reason, grade
                    FROM responses r JOIN verdicts ON {_OF_JUDGE} WHERE {self.condition} ORDER BY version"""
        with self.store.reading() as db:
            for row in db.execute(query, {**self.asked, "judge": judge, "version": version}):
                yield read_verdict(row)

    def _places(self, condition: str, **given: str) -> list[StoredPlace]:
        query = f"""SELECT r.key, r.point, r.system, r.prompt FROM responses r
                    WHERE {self.condition} {condition} ORDER BY r.key"""
        with self.store.reading() as db:
            share = _Shared()
            rows = db.execute(query, {**self.asked, **given})
            return [StoredPlace(stored_text(key), *map(share, place)) for key, *place in rows]

    # --- with texts --------------------------------------------------------------------------------------------------

    def stored_at(self, point: str, system: str, prompts: Sequence[str] | None = None) -> dict[str, str]:
        """By prompt, the keys of the responses at one point under one system prompt; no text is read.

        Args:
            point: `Point.key`.
            system: `System.id`.
            prompts: `Prompt.id`s of those that are wanted; None is all.
        """
        query = "SELECT prompt, key FROM responses WHERE decoding = ? AND point = ? AND system = ?"
        given = [self.asked["decoding"], point, system]
        if prompts is not None:
            query, given = f"{query} AND prompt IN (SELECT value FROM json_each(?))", [*given, json.dumps([*prompts])]
        with self.store.reading() as db:
            rows = db.execute(query, given)
            return {stored_text(prompt): stored_text(key) for prompt, key in rows}

    def unjudged(
        self, judge: str, version: str, *, scored: bool = True
    ) -> Iterator[list[tuple[Response, Score | None]]]:
        """Page by page, the responses without a verdict of this version of a judge, by key.

        With their scores, unless the judge looks at none. Verdicts may be written while pages are read.
        """
        for page in self._unjudged(RESPONSE, PAGE, judge, version):
            with self.store.reading():
                found = [(stored_text(key), read_response(tuple(row))) for key, *row in page]
            scores = self.store.scores(key for key, _ in found) if scored else {}
            yield [(response, scores.get(key)) for key, response in found]

    def unjudged_wordings(self, judge: str, version: str) -> Iterator[tuple[list[str], list[Wording]]]:
        """Page by page, keys and wordings of the responses without a verdict of this version of a judge, by key.

        Verdicts may be written while pages are read.
        """
        for page in self._unjudged("text, finish_reason, broken", WORDINGS, judge, version):
            with self.store.reading():
                keys, texts, finish, broken = zip(*page, strict=True)
                finished = cast("list[FinishReason]", stored_texts(finish))
                columns = unpack_texts(texts), finished, stored_texts(broken)
                found = stored_texts(keys), list(map(Wording, *columns))
            yield found

    def _unjudged(self, columns: str, size: int, judge: str, version: str) -> Iterator[list[tuple[Any, ...]]]:
        """Rows of the responses without a verdict of this version of a judge: the key and some columns, by key."""
        query = f"""SELECT r.key, {columns} FROM responses r
                    WHERE r.key > :after AND {self._by_key} AND {_UNJUDGED} ORDER BY r.key LIMIT {size}"""
        given = {**self.asked, "judge": judge, "version": version}
        with self.store.reading() as db:
            page = db.execute(query, {**given, "after": ""}).fetchall()
        while page:
            after = page[-1][0]
            yield page
            with self.store.reading() as db:
                page = db.execute(query, {**given, "after": after}).fetchall()


def _unscored(under: str) -> str:
    if not under:
        return "NOT EXISTS (SELECT 1 FROM scores s WHERE s.response = r.key)"
    return "NOT EXISTS (SELECT 1 FROM scores_under s WHERE s.response = r.key AND s.point = :under)"


class _Shared:
    """One object for equal texts: a key stands in thousands of rows."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def __call__(self, value: object) -> str:
        text = stored_text(value)
        return self._known.setdefault(text, text)
