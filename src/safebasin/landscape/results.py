"""From rows to a landscape. Pure arithmetic over what the store holds; no model, no clock.

Statistics cover the current plan only, whatever else the folder holds. What is missing stays missing: an unscored
verdict or a response that is not there yet is NaN in the arrays, is counted, and widens the interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from safebasin.landscape.comparisons import compare_panels
from safebasin.landscape.notes import find_notes
from safebasin.landscape.summaries import composing_judge, main_judge, panel_judge, rate, summarize
from safebasin.landscape.tables import Grid, StudyTables, VerdictTable
from safebasin.landscape.traces import read_traces
from safebasin.records import OUTCOMES, Cell, Landscape, Measurement, Panel, Place
from safebasin.store.db import StudyStore
from safebasin.store.measurements import StoredMeasurement, read_measurements
from safebasin.study.plan import Plan

JudgeVersion = tuple[str, str]


def read_landscape(
    store: StudyStore, plan: Plan, judges: Sequence[JudgeVersion], *, name: str, judge: str | None = None
) -> Landscape:
    """The landscape of a plan, from what is stored.

    Args:
        store: database of the study.
        plan: what the statistics cover.
        judges: (name, version) of each judge, the study's order.
        name: name of the study, for titles.
        judge: the one behind the statistics, one of `judges`; that of `summaries` if None.
    """
    study = StudyTables.read(store, plan, judges)
    names = tuple(judge for judge, _ in judges)
    measured = [m for setting in plan.gauges for m in read_measurements(store, setting)]
    panels = tuple(_panel(grid, study.tables, measured, judge) for grid in study.grids())
    return Landscape(
        name=name,
        model=plan.study.model,
        panels=panels,
        judges=names,
        notes=tuple(find_notes(store, plan, panels, dict(judges))),
        trajectories=read_traces(store, plan),
        comparisons=compare_panels(study, judge or main_judge(names), composing_judge(names)),
    )


def _panel(
    grid: Grid, tables: Sequence[VerdictTable], measured: Sequence[StoredMeasurement], judge: str | None
) -> Panel:
    names = [t.judge for t in tables]
    labeling = next((t for t in tables if t.judge == composing_judge(names)), tables[0])
    places = (grid.region.origin, *grid.places)
    return Panel(
        region=grid.region,
        system=grid.system.name,
        prompts=grid.prompts.name,
        cells=tuple(_cell(grid, place, tables, labeling) for place in places),
        summary=summarize(grid, tables, judge),
        judge=judge or panel_judge(grid.prompts, names),
        measurements=tuple(_measurements(grid, measured)),
    )


def _measurements(grid: Grid, measured: Sequence[StoredMeasurement]) -> Iterator[Measurement]:
    at = {grid.region.point(place).key: place for place in (*grid.places, grid.region.origin)}
    for m in measured:
        if place := at.get(m.point):
            yield Measurement(
                name=m.name, coords=place.coords, direction=place.direction, value=m.value, error=m.error, n=m.n
            )


def _cell(grid: Grid, place: Place, tables: Sequence[VerdictTable], labeling: VerdictTable) -> Cell:
    key = grid.region.point(place).key
    counts = labeling.counts(key, grid.system.id, grid.ids)
    return Cell(
        point=key,
        coords=place.coords,
        direction=place.direction,
        asr={t.judge: rate(t.success([key], grid.system.id, grid.ids)[0]) for t in tables},
        outcomes={outcome: counts[outcome] for outcome in OUTCOMES if counts[outcome]},
        n_planned=len(grid.ids),
    )
