"""Where the responses of a plan stand: a row a point, a column a question. Read in bulk, from an index: no text is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from safebasin.store.key_index import KEY_BYTES, SEPARATOR, KeyIndex, unhex
from safebasin.study.plan import Plan

__all__ = ["Cells", "Place"]

_NONE: frozenset[str] = frozenset()
Place = NDArray[np.int32 | np.int64]
"""Places in a flat array: 32 bits where they suffice, which is half the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """The cells of a plan, and in which of them each of its stored responses stands."""

    points: Mapping[str, int]
    """`Point.key` → row."""
    questions: Mapping[tuple[str, str], int]
    """(`System.id`, `Prompt.id`) → column."""
    index: KeyIndex
    """Key of a response → its cell, rows one after the other."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of points, and of questions at each."""
        return len(self.points), len(self.questions)

    @classmethod
    def read(cls, db: sqlite3.Connection, plan: Plan) -> Cells:
        """The cells of a plan.

        Raises:
            ValueError: where keys are none.
        """
        points = {key: i for i, key in enumerate(plan.point_keys)}
        asked = [(system.id, prompt) for system in plan.systems for prompt in plan.prompts]
        questions = {question: i for i, question in enumerate(asked)}
        return cls(points=points, questions=questions, index=KeyIndex.of(_stored(db, plan, questions)))


def _stored(
    db: sqlite3.Connection, plan: Plan, questions: Mapping[tuple[str, str], int]
) -> Iterator[tuple[bytes, Place]]:
    """Keys and cells of every response, point by point; the prompts of a point are mostly those of the one before."""
    query = f"""SELECT count(*), group_concat(prompt, '{SEPARATOR}'), group_concat(key, '') FROM responses
                WHERE decoding = ? AND point = ? AND system = ?"""
    size = len(plan.point_keys) * len(questions)
    kind = np.int32 if size <= np.iinfo(np.int32).max else np.int64
    columns: dict[tuple[str, str, frozenset[str]], NDArray[np.int64]] = {}
    for row, point in enumerate(plan.point_keys):
        left_out = plan.left_out.get(point, _NONE)
        for system in plan.systems:
            n, prompts, joined = db.execute(query, (plan.decoding.key, point, system.id)).fetchone()
            if not n:
                continue
            if (asked := (system.id, prompts, left_out)) not in columns:
                told = str(prompts).split(SEPARATOR)
                found = [-1 if prompt in left_out else questions.get((system.id, prompt), -1) for prompt in told]
                columns[asked] = np.asarray(found, dtype=np.int64)
            there, keys = columns[asked], unhex(joined, n)
            if there.size != n:
                raise ValueError(f"{there.size} prompts of {n} responses")
            if (there < 0).any():  # a folder may hold more than its plan asks
                keys = np.frombuffer(keys, dtype=np.uint8).reshape(-1, KEY_BYTES)[there >= 0].tobytes()
                there = there[there >= 0]
            yield keys, (there + row * len(questions)).astype(kind)
