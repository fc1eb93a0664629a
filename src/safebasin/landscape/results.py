"""From rows to a landscape. Pure arithmetic over what the store holds; no model, no clock.

Statistics cover the current plan only, whatever else the folder holds. What is missing stays missing: an unscored
verdict or a response that is not there yet is NaN in the arrays, is counted, and widens the interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from safebasin.landscape.compare_panels import compare_panels
from safebasin.landscape.fast_mode import fast_notes, read_fast_mode, without_visage
from safebasin.landscape.notes import find_notes
from safebasin.landscape.stored import StoredStudy
from safebasin.landscape.summaries import composing_judge, main_judge, panel_judge, rates, summarize
from safebasin.landscape.tables import Grid, StudyTables, VerdictTable
from safebasin.landscape.traces import read_traces
from safebasin.records import OUTCOMES, Cell, Landscape, Measurement, Panel, Place
from safebasin.store.measurements import StoredMeasurement, read_measurements


def read_landscape(study: StoredStudy, *, judge: str | None = None, tables: StudyTables | None = None) -> Landscape:
    """The landscape of a study, from what is stored.

    Args:
        study: what the statistics cover.
        judge: the one behind the statistics, one of the study's; that of `summaries` if None.
        tables: the study's, where they have been read; None reads them.
    """
    store, plan, tables = study.store, study.plan, tables or StudyTables.read(study)
    names = tuple(judge for judge, _ in study.judges)
    measured = [m for setting in dict.fromkeys(plan.measurements) for m in read_measurements(store, setting)]
    panels = tuple(_panel(grid, tables.tables, measured, judge) for grid in tables.grids())
    fast = read_fast_mode(study, tables.tables)
    if fast is not None:
        panels = tuple(replace(panel, summary=without_visage(panel.summary)) for panel in panels)
    return Landscape(
        name=study.name,
        model=plan.study.model,
        panels=panels,
        judges=names,
        notes=(*fast_notes(fast), *find_notes(study, panels)),
        trajectories=read_traces(store, plan),
        comparisons=compare_panels(tables, judge or main_judge(names), composing_judge(names)),
        fast=fast,
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
        points=tuple(_cells(grid, places, tables, labeling)),
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


def _cells(grid: Grid, places: Sequence[Place], tables: Sequence[VerdictTable], labeling: VerdictTable) -> list[Cell]:
    """Summarize what was measured at some places of a panel."""
    system = grid.system.id
    keys = [grid.region.point(place).key for place in places]
    # one judge after the other, all places at once: an array of every judge would be most of the memory
    of_judges = {table.judge: rates(grid, table, keys) for table in tables}
    found: list[Cell] = []
    for at, (place, key) in enumerate(zip(places, keys, strict=True)):
        asked = grid.asked_at(key)
        counts = labeling.counts(key, system, asked)
        cell = Cell(
            point=key,
            coords=place.coords,
            direction=place.direction,
            asr={judge: of_judge[at] for judge, of_judge in of_judges.items()},
            outcomes={outcome: counts[outcome] for outcome in OUTCOMES if counts[outcome]},
            n_planned=len(asked),
        )
        found.append(cell)
    return found
