"""Harmfulness score and harmfulness rate: the mean of the grades of a judge that gives some, and its successes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safebasin import catalog, stats
from safebasin.errors import StudyError, UnknownName, expected
from safebasin.landscape.stored import StoredStudy
from safebasin.records import Estimate

__all__ = ["Graded", "read_grades"]

Said = tuple[float | None, bool | None]
"""Grade and success of one response."""
_NOTHING: Said = (None, None)


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
        plan, places = study.plan, {(p.point, p.system, p.prompt): p.key for p in study.rows.places()}
        version = dict(study.judges).get(judge)
        found = {v.response: (v.grade, v.success) for v in study.rows.verdicts_by(judge, version)}
    grades = [grade for grade, _ in found.values() if grade is not None]
    if not grades:
        remedy = "Run: safebasin judge DIR --judge 'rubric/qi2023(model=NAME)', and give its name as it prints it."
        raise StudyError(expected("judge", "one that grades, with verdicts stored here", judge, remedy))
    scale = _scale(judge) or (min(grades), max(grades))
    graded: list[Graded] = []
    for number, place, point in plan.numbered_places():
        for prompts in plan.sets:
            for system in plan.systems:
                keys = [places.get((point.key, system.id, prompt.id), "") for prompt in prompts.prompts]
                score, rate = _estimates([found.get(key, _NOTHING) for key in keys], scale)
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


def _estimates(found: list[Said], scale: tuple[float, float]) -> tuple[Estimate, Estimate]:
    score = stats.estimate_mean_grade([grade for grade, _ in found], bounds=scale)
    said = [success for _, success in found if success is not None]
    return score, stats.estimate_rate(sum(said), len(said), len(found) - len(said))
