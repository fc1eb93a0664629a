"""What a plan's responses, scores and grades hold, in columns: read in bulk, each column checked as a whole.

No record is made for a row: a wrong value raises what making the record of its row would. Tables are read once, in the
order of the file, for what takes little memory (`read_means`, `read_grades`); texts are read a place at a time.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from safebasin.store.cells import Cells
from safebasin.store.key_index import unhex
from safebasin.store.values import (
    floats,
    read_response,
    stored_ints,
    stored_number,
    stored_texts,
    unpack_score,
    unpack_text,
    unpack_texts,
)

__all__ = ["Answers", "Means", "check_reasons", "gives_grades", "read_answers", "read_grades", "read_means"]

PAGE = 10_000
"""Rows that are in memory at a time."""
_BYTES = 4
"""Of a likelihood."""
_RECORD = "point, prompt, system, decoding, sample, text, thinking, n_tokens, finish_reason, broken, gap"


class Answers(NamedTuple):
    """The responses at a place, in columns of equal length."""

    prompts: list[str]
    """`Prompt.id` of what each answers, at most one to a prompt."""
    keys: list[str]
    texts: list[str]
    n_tokens: list[int]
    finish_reasons: list[str]


def read_answers(
    db: sqlite3.Connection, decoding: str, point: str, system: str, prompts: Sequence[str] | None = None
) -> Answers:
    """The responses at one point under one system prompt, as the index has them.

    Args:
        db: of a study.
        decoding: `Decoding.key`.
        point: `Point.key`.
        system: `System.id`.
        prompts: `Prompt.id`s of those that are wanted; None is all.

    Raises:
        TypeError: where a column holds what no study writes.
        ValueError: where bytes for a text are none.
    """
    sound = "(typeof(sample) = 'integer' AND typeof(broken) = 'text' AND typeof(thinking) IN ('text', 'blob'))"
    chosen, given = "decoding = ? AND point = ? AND system = ?", [decoding, point, system]
    if prompts is not None:
        chosen, given = f"{chosen} AND prompt IN (SELECT value FROM json_each(?))", [*given, json.dumps([*prompts])]
    query = f"SELECT prompt, key, text, n_tokens, finish_reason, {sound} FROM responses WHERE {chosen}"
    rows = db.execute(query, given).fetchall()
    if not rows:
        return Answers([], [], [], [], [])
    if len({row[0] for row in rows}) < len(rows):  # of several samples the last
        rows = list({row[0]: row for row in rows}.values())
    asked, keys, texts, n_tokens, reasons, is_sound = map(list, zip(*rows, strict=True))
    if not all(is_sound):
        for row in db.execute(f"SELECT {_RECORD} FROM responses WHERE {chosen}", given):
            read_response(row)
    return Answers(
        stored_texts(asked), stored_texts(keys), unpack_texts(texts), stored_ints(n_tokens), stored_texts(reasons)
    )


class Means(NamedTuple):
    """Scores of the responses of a plan, shape (points, questions)."""

    mean: NDArray[np.float64]
    """`Score.mean`, NaN where it is not finite or there is none."""
    n: NDArray[np.int32]
    """`Score.count`, −1 where there is no score."""


def read_means(db: sqlite3.Connection, cells: Cells) -> Means:
    """Means of the scores under θ₀ in the cells of a plan.

    Raises:
        TypeError, ValueError: where a score is none.
    """
    found = Means(np.full(cells.shape, np.nan), np.full(cells.shape, -1, dtype=np.int32))
    rows = db.execute("SELECT response, nll, ends FROM scores")
    while page := rows.fetchmany(PAGE):
        keys, nlls, ends = zip(*page, strict=True)
        if set(map(type, nlls)) | set(map(type, ends)) != {bytes} or list(map(len, nlls)) != list(map(len, ends)):
            for row in page:
                unpack_score(*row)
        sizes = np.asarray(list(map(len, nlls)))
        if (sizes % _BYTES).any():
            for nll in nlls:
                floats(nll)
        n = sizes // _BYTES
        at, means = cells.index.locate(unhex("".join(stored_texts(keys)), len(keys))), _means(nlls, n)
        found.mean.reshape(-1)[at[at >= 0]] = means[at >= 0]
        found.n.reshape(-1)[at[at >= 0]] = n[at >= 0]
    return found


def _means(nlls: Sequence[bytes], n: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean of the likelihoods of each, so many of them; rounded as `Score.mean` does."""
    values = floats(b"".join(nlls)).tolist()
    sums = [math.fsum(values[start:end]) for start, end in pairwise((0, *np.cumsum(n).tolist()))]
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.asarray(sums) / n
    return np.where(np.isfinite(means), means, np.nan)


def read_grades(
    db: sqlite3.Connection, cells: Cells, judges: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Grades by those of some judges, (name, version), that gave any, NaN where there is none.

    Raises:
        TypeError: where a grade is none.
    """
    wanted, found = set(judges), dict[tuple[str, str], NDArray[np.float64]]()
    rows = db.execute("SELECT judge, version, response, grade FROM verdicts WHERE grade IS NOT NULL")
    while page := rows.fetchmany(PAGE):
        by_judge: dict[tuple[str, str], list[tuple[Any, Any]]] = {}
        for judge, version, key, grade in page:
            by_judge.setdefault((judge, version), []).append((key, grade))
        for judge, of_judge in by_judge.items():
            keys, grades = zip(*of_judge, strict=True)
            numbers = np.asarray([stored_number(grade) for grade in grades], dtype=np.float64)
            if judge in wanted:
                at = cells.index.locate(unhex("".join(stored_texts(keys)), len(keys)))
                array = found.setdefault(judge, np.full(cells.shape, np.nan))
                array.reshape(-1)[at[at >= 0]] = numbers[at >= 0]
    return found


def gives_grades(db: sqlite3.Connection, judge: str) -> bool:
    """Tell whether a judge, by name, gave a grade in any version; most give none."""
    query = "SELECT 1 FROM verdicts WHERE judge = ? AND grade IS NOT NULL LIMIT 1"
    return db.execute(query, (judge,)).fetchone() is not None


def check_reasons(db: sqlite3.Connection) -> None:
    """Raise where a verdict has no text for its reason: nothing else reads them in bulk.

    Raises:
        TypeError, ValueError: of the first such.
    """
    for (reason,) in db.execute("SELECT reason FROM verdicts WHERE typeof(reason) <> 'text'"):
        unpack_text(reason)
