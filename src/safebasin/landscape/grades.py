"""Harmfulness score and harmfulness rate: the mean of the grades of a judge that gives some, and its successes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safebasin import catalog, stats
from safebasin.errors import StudyError, UnknownName, expected
from safebasin.landscape.recall import recall
from safebasin.records import Estimate, Verdict
from safebasin.store import folder as folders
from safebasin.store.db import StudyStore

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
    with StudyStore.open(folders.require(folder)) as store:
        plan, remembered = recall(store)
        version = dict(remembered).get(judge)
        responses = {(r.point, r.system, r.prompt): r.key for r in store.responses(plan.decoding.key)}
        found = {
            key: verdict
            for key, rows in store.verdicts_of(responses.values()).items()
            for verdict in rows
            if verdict.judge == judge and version in (None, verdict.version)
        }
    grades = [v.grade for v in found.values() if v.grade is not None]
    if not grades:
        remedy = "Run: safebasin judge DIR --judge 'rubric/qi2023(model=NAME)', and give its name as it prints it."
        raise StudyError(expected("judge", "one that grades, with verdicts stored here", judge, remedy))
    scale = _scale(judge) or (min(grades), max(grades))
    places: list[Graded] = []
    for number, place, point in plan.numbered_places():
        for prompts in plan.sets:
            for system in plan.systems:
                keys = [responses.get((point.key, system.id, prompt.id), "") for prompt in prompts.prompts]
                score, rate = _estimates([found.get(key) for key in keys], scale)
                places.append(
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
    return tuple(places)


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


def _estimates(verdicts: list[Verdict | None], scale: tuple[float, float]) -> tuple[Estimate, Estimate]:
    score = stats.estimate_mean_grade([None if v is None else v.grade for v in verdicts], bounds=scale)
    said = [v.success for v in verdicts if v is not None and v.success is not None]
    return score, stats.estimate_rate(sum(said), len(said), len(verdicts) - len(said))
