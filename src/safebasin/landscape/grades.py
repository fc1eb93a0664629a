"""Harmfulness score and harmfulness rate: the mean of the grades of a judge that gives some, and its successes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from safebasin import catalog, stats
from safebasin.errors import StudyError, UnknownName, expected
from safebasin.landscape.stored import StoredStudy
from safebasin.records import Estimate
from safebasin.store import columns
from safebasin.store.cells import Cells
from safebasin.store.verdict_arrays import read_said

__all__ = ["Graded", "read_grades"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """The grades at one place of one panel."""

    region: str
    """Name of the region; empty for the origin, which all share."""
    coords: tuple[float, ...]
    direction: int
    system: str
    prompts: str
    score: Estimate
    """Mean grade: of `rubric/qi2023` the paper's harmfulness score."""
    rate: Estimate
    """Share of successes: of `rubric/qi2023` the paper's harmfulness rate."""


def read_grades(folder: Path, judge: str) -> tuple[Graded, ...]:
    """Score and rate of one judge at every measured place, the origin of each panel first.

    Args:
        folder: the study.
        judge: its name, as stored.

    Raises:
        StudyError: where it gave no grades here.
    """
    with StoredStudy.open(folder) as study:
        plan = study.plan
        with study.store.reading() as db:
            if not columns.gives_grades(db, judge):
                raise _ungraded(judge)
        grades, success = _said(study, judge)
    given = grades.values[~np.isnan(grades.values)]
    if not given.size:
        raise _ungraded(judge)
    scale = _scale(judge) or (float(given.min()), float(given.max()))
    graded: list[Graded] = []
    for number, place, point in plan.numbered_places():
        for prompts in plan.sets:
            for system in plan.systems:
                questions = [(system.id, prompt.id) for prompt in prompts.prompts]
                score, rate = _estimates(grades.at(point.key, questions), success.at(point.key, questions), scale)
                graded.append(
                    Graded(
                        region="" if place.direction < 0 else plan.regions[number].name,
                        coords=place.coords,
                        direction=place.direction,
                        system=system.name,
                        prompts=prompts.name,
                        score=score,
                        rate=rate,
                    )
                )
    return tuple(graded)


def _ungraded(judge: str) -> StudyError:
    remedy = "Run: safebasin judge DIR --judge 'rubric/qi2023(model=NAME)', and give its name as it prints it."
    return StudyError(expected("judge", "one that grades, with verdicts stored here", judge, remedy))


class _Said(NamedTuple):
    """A number for each response of a plan, NaN where there is none."""

    cells: Cells
    values: NDArray[np.float64]
    """Shape (points, questions)."""

    def at(self, point: str, questions: Sequence[tuple[str, str]]) -> list[float | None]:
        """Those at one place, of some (`System.id`, `Prompt.id`); None where there is none."""
        row = self.values[self.cells.points[point]]
        found = row[[self.cells.questions[question] for question in questions]]
        return [None if value != value else value for value in found.tolist()]


def _said(study: StoredStudy, judge: str) -> tuple[_Said, _Said]:
    """Grades, and successes as 1 and 0, by a judge: in the study's version, else in the last that says anything."""
    asked = dict(study.judges).get(judge)
    stored = [(name, version) for name, version, _ in study.store.judge_versions() if name == judge]
    versions = [one for one in stored if asked in (None, one[1])]
    with study.store.reading() as db:
        cells = Cells.read(db, study.plan)
        verdicts, graded = read_said(db, cells, versions), columns.read_grades(db, cells, versions)
    grades, success = np.full(cells.shape, np.nan), np.full(cells.shape, np.nan)
    for version in versions:
        codes, kinds = verdicts[version].codes, verdicts[version].kinds
        successes = np.asarray([np.nan if said is None else float(said) for _, said in kinds])
        np.copyto(success, successes[codes], where=codes > 0)
        np.copyto(grades, graded.get(version, np.nan), where=codes > 0)
    return _Said(cells, grades), _Said(cells, success)


def _scale(judge: str) -> tuple[float, float] | None:
    """Least and greatest grade that a judge gives, as its row of the catalogue says; None where it says nothing."""
    try:
        said = catalog.get("judge", judge.partition("(")[0]).fact("grades")
    except UnknownName:  # a plugin's that is not installed here: its verdicts are
        return None
    if said is None:
        return None
    least, _, greatest = said.partition(" to ")
    try:
        return float(least), float(greatest)
    except ValueError:
        remedy = "Mend the package that provides it."
        raise UnknownName(expected(f"grades of judge {judge!r}", "like '1 to 5'", said, remedy)) from None


def _estimates(
    grades: Sequence[float | None], success: Sequence[float | None], scale: tuple[float, float]
) -> tuple[Estimate, Estimate]:
    said = [bool(one) for one in success if one is not None]
    rate = stats.estimate_rate(sum(said), len(said), len(success) - len(said))
    return stats.estimate_mean_grade(grades, bounds=scale), rate
