"""From rows to a landscape. Pure arithmetic over what the store holds; no model, no clock.

Statistics cover the current plan only, whatever else the folder holds. What is missing stays missing: an unscored
verdict or a response that is not there yet is NaN in the arrays, is counted, and widens the interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from safebasin.prompts.labels import labels_of
from safebasin.records import OUTCOMES, Cell, Landscape, Measurement, Panel, Place
from safebasin.run.asked import notes_on_asking
from safebasin.run.calibration import read_tests
from safebasin.run.comparisons import compare_panels
from safebasin.run.plan import Plan
from safebasin.run.summaries import composing_judge, main_judge, rate, summarize
from safebasin.run.tables import Grid, StudyTables, VerdictTable
from safebasin.run.trajectories import read_traces
from safebasin.store.db import StudyStore
from safebasin.store.measurements import StoredMeasurement, read_measurements

NEAR_TIE = 1e-3
"""Top-2 logit gap below which other hardware may decode another token."""
NEARLY_ALL, FEW = 0.9, 5
"""Share of prompts answered at the origin from which on they may be no attacks, and of how many prompts at least."""

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
        notes=tuple(_notes(store, plan, panels, dict(judges))),
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
        judge=judge or main_judge(names),
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


def _notes(store: StudyStore, plan: Plan, panels: Sequence[Panel], versions: Mapping[str, str]) -> list[str]:
    notes: list[str] = []
    have = len(plan.asked(store.done(plan.decoding.key)))
    if have < plan.size:
        notes.append(f"{plan.size - have} of {plan.size} responses are not there yet; run the same command to go on.")
    cells = [cell for panel in panels for cell in panel.cells]
    for judge in panels[0].cells[0].asr:
        missing = sum(cell.asr[judge].n_missing for cell in cells)
        if missing and have == plan.size:
            cut = len(store.cut(judge, versions[judge], plan.decoding.key) & set(plan.keys()))
            why = f", {cut} of them because decoding ended at a refusal of the judges before it" if cut else ""
            mend = " `map --regenerate` decodes those to the end." if cut else ""
            notes.append(f"{missing} verdicts of {judge} are missing (unscored){why}; they widen its intervals.{mend}")
    notes += _answered(plan, panels)
    if composing_judge(list(panels[0].cells[0].asr)) is not None:
        notes += _language(store)
    if any(panel.summary["visage"].n_undefined for panel in panels if "visage" in panel.summary):
        notes.append("VISAGE is undefined on some directions, where every point is fully unsafe; they are left out.")
    for region in plan.regions:
        if region.is_plane and not all(0.0 in axis.alphas for axis in region.axes):
            notes.append(
                f"The grid of {region.name!r} does not hold the origin, so its radius is undefined; choose ranges "
                "whose steps meet 0, such as -0.5:1.5:21."
            )
    ties = store.near_ties(plan.decoding.key, NEAR_TIE)
    if ties:
        notes.append(
            f"{ties} responses hold a near-tie (top-2 logit gap below {NEAR_TIE:g}): other hardware may decode them "
            "differently."
        )
    return notes + notes_on_asking(store, plan)


def _answered(plan: Plan, panels: Sequence[Panel]) -> Iterator[str]:
    """Of sets without any label, those that θ₀ answers nearly all of: these may be no attacks at all."""
    for prompts in plan.sets:
        if any(labels_of(prompts.prompts)):
            continue
        origins = [panel.cells[0].asr[panel.judge] for panel in panels if panel.prompts == prompts.name]
        rates = [asr.value for asr in origins if asr.value is not None and asr.n >= FEW]
        if rates and min(rates) >= NEARLY_ALL:
            yield (
                f"Nearly all of {prompts.name!r} are answered at the origin ({100 * min(rates):.0f} %), and each "
                "answer counts as an attack success: if they should be answered, say --label benign, or label them in "
                "a column 'label'."
            )


def _language(store: StudyStore) -> Iterator[str]:
    """How language was told, by each model that was asked."""
    for under, test in read_tests(store).items():
        words = test.words()
        yield ("Under the tuned model, " + words if under else words[0].upper() + words[1:]) + "."
