"""The verdicts of a plan as arrays, read in bulk: SQLite joins the keys of many rows, numpy takes them apart.

No object of Python is made for a row, no text of a response is read, and the table of verdicts is read once, in the
order in which it lies in the file, whatever the number of judges.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from safebasin.store.cells import Cells
from safebasin.store.coded import coded
from safebasin.store.key_index import unhex
from safebasin.store.rows import PlanRows
from safebasin.store.values import stored_text
from safebasin.study.plan import Plan

__all__ = [
    "NOTHING",
    "UNSCORED",
    "Codes",
    "VerdictArrays",
    "VerdictKind",
    "read_cut",
    "read_said",
    "read_verdict_arrays",
]

UNSCORED = "unscored"
_SAID = ("judge", "version", "label", "success")
VerdictKind = tuple[str, bool | None]
"""Label and success."""
Codes = NDArray[np.uint8 | np.uint16]
NOTHING: VerdictKind = (UNSCORED, None)
"""Stands where there is no verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictArrays:
    """The verdicts of one judge on a plan: a row a point, a column a question."""

    points: Mapping[str, int]
    """`Point.key` → row."""
    questions: Mapping[tuple[str, str], int]
    """(`System.id`, `Prompt.id`) → column."""
    codes: Codes
    """Indices of `kinds`, shape (points, questions): a byte a verdict, unless a judge says more than 255 things."""
    kinds: tuple[VerdictKind, ...]
    """What is said; the first, `NOTHING`, stands where there is no verdict."""
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
    with rows.store.reading() as db:
        found = read_said(db, Cells.read(db, plan), judges)
    return [found[judge] for judge in judges]


def read_cut(
    db: sqlite3.Connection, cells: Cells, judges: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], NDArray[np.bool_]]:
    """Cells of a plan that some judges, (name, version), could not decide, since a stop rule had cut what is there."""
    found = {judge: np.zeros(cells.shape, dtype=np.bool_) for judge in judges}
    where = "label = 'unscored' AND success IS NULL AND reason = 'cut'"
    for known, numbers, joined in coded(db, "verdicts", _SAID[:2], "response", where=where) if found else ():
        at = cells.index.locate(unhex(joined, numbers.size))
        for number, (name, version) in enumerate(known):
            if (judge := (str(name), str(version))) in found:
                here = at[numbers == number]
                found[judge].reshape(-1)[here[here >= 0]] = True
    return found


def read_said(
    db: sqlite3.Connection, cells: Cells, judges: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], VerdictArrays]:
    """The verdicts of some judges, (name, version) each, in the cells of a plan."""
    wanted = dict.fromkeys(judges)
    codes: dict[tuple[str, str], Codes] = {judge: np.zeros(cells.shape, dtype=np.uint8) for judge in wanted}
    kinds: dict[tuple[str, str], dict[VerdictKind | None, int]] = {judge: {None: 0} for judge in wanted}
    for known, numbers, joined in coded(db, "verdicts", _SAID, "response") if wanted else ():
        at = cells.index.locate(unhex(joined, numbers.size))
        for number, (name, version, label, success) in enumerate(known):
            judge, kind = (str(name), str(version)), (stored_text(label), None if success is None else bool(success))
            here = at[numbers == number] if judge in wanted else at[:0]
            if not here.size:
                continue
            of_judge = kinds[judge]
            code = of_judge.setdefault(kind, len(of_judge))
            if code > np.iinfo(codes[judge].dtype).max:
                codes[judge] = codes[judge].astype(np.uint16)
            codes[judge].reshape(-1)[here[here >= 0]] = code
    return {
        judge: VerdictArrays(
            points=cells.points,
            questions=cells.questions,
            codes=codes[judge],
            kinds=tuple(NOTHING if kind is None else kind for kind in kinds[judge]),
        )
        for judge in wanted
    }
