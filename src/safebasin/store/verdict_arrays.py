"""The verdicts of a plan as arrays, read in bulk: SQLite joins the keys of many rows, numpy takes them apart.

No object of Python is made for a row, no text of a response is read, and the table of verdicts is read once, in the
order in which it lies in the file, whatever the number of judges.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from safebasin.store.coded import coded
from safebasin.store.key_index import KEY_BYTES, SEPARATOR, KeyIndex, unhex
from safebasin.store.rows import PlanRows
from safebasin.store.values import stored_text
from safebasin.study.plan import Plan

__all__ = ["UNSCORED", "VerdictArrays", "read_verdict_arrays"]

UNSCORED = "unscored"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictArrays:
    """The verdicts of one judge on a plan: a row a point, a column a question."""

    points: Mapping[str, int]
    """`Point.key` → row."""
    questions: Mapping[tuple[str, str], int]
    """(`System.id`, `Prompt.id`) → column."""
    outcomes: NDArray[np.int16]
    """Indices of `names`, shape (points, questions)."""
    names: tuple[str, ...]
    """Labels, `unscored` first, which also stands where there is no verdict."""
    successes: NDArray[np.int8]
    """1 success, 0 none, −1 missing, shape (points, questions)."""
    _columns: dict[tuple[str, tuple[str, ...]], NDArray[np.intp]] = field(
        default_factory=dict[tuple[str, tuple[str, ...]], NDArray[np.intp]], repr=False, compare=False
    )

    def columns(self, system: str, prompts: tuple[str, ...]) -> NDArray[np.intp]:
        """The columns of some prompts under a system prompt, −1 where there is none; kept, for every point asks."""
        found = self._columns.get((system, prompts))
        if found is None:
            found = np.asarray([self.questions.get((system, prompt), -1) for prompt in prompts], dtype=np.intp)
            self._columns[system, prompts] = found
        return found


def read_verdict_arrays(rows: PlanRows, plan: Plan, judges: Sequence[tuple[str, str]]) -> list[VerdictArrays]:
    """The verdicts of some judges, (name, version) each, on what a plan asks for."""
    points = {key: i for i, key in enumerate(plan.point_keys)}
    asked = [(system.id, prompt) for system in plan.systems for prompt in plan.prompts]
    questions = {question: i for i, question in enumerate(asked)}
    shape = (len(points), len(questions))
    wanted = dict.fromkeys(judges)
    outcomes = {judge: np.zeros(shape, dtype=np.int16) for judge in wanted}
    successes = {judge: np.full(shape, -1, dtype=np.int8) for judge in wanted}
    names: dict[tuple[str, str], dict[str, int]] = {judge: {UNSCORED: 0} for judge in wanted}
    with rows.store.reading() as db:
        places = _places(db, plan, questions)
        for judge, label, success, keys in _said(db, list(wanted)) if wanted else ():
            found, known = places.find(keys), names[judge]
            outcomes[judge].reshape(-1)[found] = known.setdefault(label, len(known))
            successes[judge].reshape(-1)[found] = success
    for left_out, there in plan.stopped_points.items():  # a folder may hold more than its plan asks
        columns = [i for (_, prompt), i in questions.items() if prompt in left_out]
        of_these = np.ix_([points[point] for point in there], columns)
        for judge in wanted:
            outcomes[judge][of_these] = 0
            successes[judge][of_these] = -1
    return [
        VerdictArrays(
            points=points,
            questions=questions,
            outcomes=outcomes[judge],
            names=tuple(names[judge]),
            successes=successes[judge],
        )
        for judge in judges
    ]


def _places(db: sqlite3.Connection, plan: Plan, questions: Mapping[tuple[str, str], int]) -> KeyIndex:
    """Every response of a plan, point by point; the prompts of a point are mostly those of the one before it."""
    query = f"""SELECT count(*), group_concat(prompt, '{SEPARATOR}'), group_concat(key, '') FROM responses
                WHERE decoding = ? AND point = ? AND system = ?"""
    columns: dict[tuple[str, str], NDArray[np.int64]] = {}
    keys, at = list[bytes](), list[NDArray[np.int64]]()
    for row, point in enumerate(plan.point_keys):
        for system in plan.systems:
            n, prompts, joined = db.execute(query, (plan.decoding.key, point, system.id)).fetchone()
            if not n:
                continue
            if (system.id, prompts) not in columns:
                found = [questions.get((system.id, prompt), -1) for prompt in str(prompts).split(SEPARATOR)]
                columns[system.id, prompts] = np.asarray(found, dtype=np.int64)
            there = columns[system.id, prompts]
            keys.append(unhex(joined, n))
            if there.size != n:
                raise ValueError(f"{there.size} prompts of {n} responses")
            at.append(np.where(there < 0, -1, there + row * len(questions)))
    return _of_plan(b"".join(keys), np.concatenate(at) if at else np.zeros(0, dtype=np.int64))


def _of_plan(keys: bytes, at: NDArray[np.int64]) -> KeyIndex:
    """Those that stand somewhere: a folder may hold prompts that its plan no longer asks."""
    if (at >= 0).all():
        return KeyIndex.of(keys, at)
    kept = np.frombuffer(keys, dtype=np.uint8).reshape(-1, KEY_BYTES)[at >= 0].tobytes()
    return KeyIndex.of(kept, at[at >= 0])


def _said(
    db: sqlite3.Connection, judges: Sequence[tuple[str, str]]
) -> Iterator[tuple[tuple[str, str], str, int, bytes]]:
    """Judge, label, success and the keys of the responses it is said of, a part of the table at a time."""
    wanted = set(judges)
    for known, numbers, joined in coded(db, "verdicts", ("judge", "version", "label", "success"), "response"):
        keys = np.frombuffer(unhex(joined, numbers.size), dtype=np.uint8).reshape(-1, KEY_BYTES)
        for number, (judge, version, label, success) in enumerate(known):
            if (judge, version) in wanted and (of_this := numbers == number).any():
                told = -1 if success is None else int(bool(success))
                yield (str(judge), str(version)), stored_text(label), told, keys[of_this].tobytes()
