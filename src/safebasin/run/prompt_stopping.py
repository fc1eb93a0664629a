"""Fast mode at a point: it begins with the first prompts of each set, and is asked more until its rates are known.

What is asked next follows from stored verdicts alone, so that a run that was killed goes on as it would have. All
points of a round go through a stage together. The origin is asked whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from safebasin.landscape.language_tests import calibrated
from safebasin.landscape.stored import StoredStudy
from safebasin.landscape.summaries import rates
from safebasin.landscape.tables import StudyTables
from safebasin.protocols import Judge
from safebasin.records import Estimate, Point
from safebasin.store.db import StudyStore
from safebasin.study.plan import Plan, PromptSet
from safebasin.study.stages import WIDTH, further_stage

__all__ = ["begun", "next_stage"]


def begun(plan: Plan, settled: Collection[str] = ()) -> Plan:
    """A fast plan that asks at new points the first stage of each set that has any; any other plan as it is.

    Args:
        plan: what is asked.
        settled: `Point.key`s of points for which it is decided what is asked.
    """
    first = {prompts.name: prompts.stages[0] for prompts in plan.sets if prompts.stages}
    if plan.exact is None or not first:
        return plan
    new = {point: first for point in plan.point_keys if point != Point().key and point not in settled}
    return replace(plan, stopped={**plan.stopped, **new})


def next_stage(store: StudyStore, plan: Plan, judges: Sequence[Judge]) -> Plan | None:
    """The plan with a further stage of each set at the points where one of its rates is not known; None if all are.

    Args:
        store: with the verdicts of the stages so far.
        plan: of fast mode.
        judges: those of the study. Each one's rate under each system prompt is to be known.
    """
    if not plan.stopped:
        return None
    named = [(judge.name, calibrated(judge, store).version) for judge in judges]
    tables = StudyTables.read(StoredStudy(store, plan, tuple(named)))
    stopped = {point: dict(counts) for point, counts in plan.stopped.items()}
    for prompts in plan.sets:
        for point, rates_there in _open_points(tables, prompts):
            n = stopped[point][prompts.name]
            further = further_stage(len(prompts.ids), n, [rate.value for rate in rates_there])
            if further is None:
                del stopped[point][prompts.name]
            else:
                stopped[point][prompts.name] = further
    made: Mapping[str, Mapping[str, int]] = {point: counts for point, counts in stopped.items() if counts}
    return None if made == plan.stopped else replace(plan, stopped=made)


def _open_points(tables: StudyTables, prompts: PromptSet) -> Iterator[tuple[str, tuple[Estimate, ...]]]:
    """The stopped points at which a rate of a set is not known, by key, with all rates there."""
    plan = tables.plan
    points = [point for point, counts in plan.stopped.items() if prompts.name in counts]
    grids = [tables.grid(plan.regions[0], system, prompts) for system in plan.systems]
    known = [rates(grid, table, points) for grid in grids for table in tables.tables]
    for point, of_point in zip(points, zip(*known, strict=True), strict=True):
        widths = [1.0 if e.low is None or e.high is None else e.high - e.low for e in of_point]
        if max(widths) > WIDTH + 1e-12:
            yield point, of_point
