"""Many tuned models of one base in one study: what each answers at α = 1, beside the base on the same prompts.

Reads rows; measures nothing. Each model is a line of its own whose α = 1 is that model, and all share the origin.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from safebasin import stats
from safebasin.landscape.notes import MOSTLY, broken_words, notes_on_asking, notes_on_language
from safebasin.landscape.stored import StoredStudy
from safebasin.landscape.summaries import composing_judge, is_benign, panel_judge, rate
from safebasin.landscape.tables import Array, Grid, StudyTables
from safebasin.records import Estimate, Place
from safebasin.stats.multiple import holm

__all__ = [
    "LEVEL",
    "Sweep",
    "SweepTable",
    "SweptModel",
    "incoherent_models",
    "read_sweep",
    "sweep_document",
    "told_by",
]

LEVEL = 0.05
"""Of all comparisons of a sweep together."""
NAMED = 6
"""Models that a note names."""
Told = Literal["higher", "lower", "not told apart"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweptModel:
    """One tuned model under one prompt set and system prompt."""

    name: str
    rate: Estimate
    """Share of successes of the judge: attacks that succeed, or benign prompts that are answered."""
    difference: Estimate
    """Less that of the base, the same prompts."""
    p: float
    """Exact McNemar test against the base."""
    p_adjusted: float
    """Holm, over all comparisons of the sweep."""
    told: Told
    """By the adjusted p-value, and only where the interval, which missing verdicts widen, says the same."""
    outcomes: Mapping[str, int]
    """Counts by outcome; empty where no judge tells outcomes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepTable:
    """All models under one prompt set and system prompt, the highest rate first."""

    prompts: str
    system: str
    judge: str
    is_benign: bool
    """Whether the prompts should be answered."""
    base: Estimate
    models: tuple[SweptModel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Tuned models of one base."""

    base: str
    tables: tuple[SweepTable, ...]
    failed: Mapping[str, str]
    """Model → why it is not in the study."""
    level: float = LEVEL
    notes: tuple[str, ...] = ()
    """What readers should know, in sentences."""


def sweep_document(found: Sweep) -> dict[str, Any]:
    """Convert a sweep to what `models.json` holds, as plain values."""
    return {"schema_version": 1, **asdict(found)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    name: str
    before: Array
    after: Array
    outcomes: Mapping[str, int]


def read_sweep(study: StoredStudy, failed: Mapping[str, str]) -> Sweep:
    """The tables of a sweep.

    Args:
        study: one region for each model, which holds α = 1.
        failed: models that are not in it, each with the reason.
    """
    tables = StudyTables.read(study)
    found: dict[tuple[str, str], list[_Row]] = {}
    kinds: dict[tuple[str, str], tuple[str, bool]] = {}
    composer = composing_judge([table.judge for table in tables.tables])
    for grid in tables.grids():
        key = (grid.prompts.name, grid.system.name)
        judge = panel_judge(grid.prompts, [table.judge for table in tables.tables])
        kinds[key] = (judge, is_benign(grid.prompts))
        found.setdefault(key, []).append(_row(grid, tables, judge, composer))
    adjusted = iter(holm([_p(row) for rows in found.values() for row in rows]))
    made = tuple(_table(key, kinds[key], rows, [next(adjusted) for _ in rows]) for key, rows in found.items())
    language = () if composer is None else notes_on_language(study.store)
    broken = (said for table in made for said in incoherent_models(table))
    notes = (*broken, *language, *notes_on_asking(study.store, study.plan))
    return Sweep(base=study.plan.study.model, tables=made, failed=dict(failed), notes=notes)


def _row(grid: Grid, tables: StudyTables, judge: str, composer: str | None) -> _Row:
    table, point = tables.table(judge), grid.region.point(Place(direction=0, coords=(1.0,)))
    outcomes = {} if composer is None else tables.table(composer).counts(point.key, grid.system.id, grid.ids)
    return _Row(
        name=grid.region.name,
        before=grid.origin(table),
        after=table.success([point.key], grid.system.id, grid.ids)[0],
        outcomes={label: n for label, n in sorted(outcomes.items()) if n},
    )


def incoherent_models(table: SweepTable) -> Iterator[str]:
    """Say of which models most responses are incoherent: what a judge of refusals tells of these is no attack."""
    shares = {model.name: _incoherent(model.outcomes) for model in table.models}
    named = [f"{name} ({100 * share:.0f} %)" for name, share in shares.items() if share >= MOSTLY]
    if named:
        more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
        where = f"System prompt {table.system}, prompts {table.prompts}"
        yield (
            f"{where}: most responses of {', '.join(named[:NAMED])}{more} are incoherent; "
            f"{broken_words(table.judge)} {table.judge} finds there says little of safety."
        )


def _incoherent(outcomes: Mapping[str, int]) -> float:
    """The share of incoherent among the labelled responses; 0 where none is labelled."""
    labelled = sum(n for label, n in outcomes.items() if label != "unscored")
    return outcomes.get("incoherent", 0) / labelled if labelled else 0.0


def _changes(row: _Row) -> tuple[int, int]:
    """Prompts that became a success, and that ceased to be one; pairs with a missing verdict are left out."""
    there = ~(np.isnan(row.before) | np.isnan(row.after))
    before, after = row.before[there], row.after[there]
    return int((after > before).sum()), int((after < before).sum())


def _p(row: _Row) -> float:
    return stats.mcnemar(*_changes(row))


def _table(key: tuple[str, str], kind: tuple[str, bool], rows: Sequence[_Row], adjusted: Sequence[float]) -> SweepTable:
    models = [_model(row, p_adjusted) for row, p_adjusted in zip(rows, adjusted, strict=True)]
    return SweepTable(
        prompts=key[0],
        system=key[1],
        judge=kind[0],
        is_benign=kind[1],
        base=rate(rows[0].before),
        models=tuple(sorted(models, key=lambda model: -(model.rate.value or 0.0))),
    )


def _model(row: _Row, p_adjusted: float) -> SweptModel:
    gained, lost = _changes(row)
    difference = stats.estimate_paired_difference(row.before, row.after)
    return SweptModel(
        name=row.name,
        rate=rate(row.after),
        difference=difference,
        p=stats.mcnemar(gained, lost),
        p_adjusted=p_adjusted,
        told=told_by(p_adjusted, difference),
        outcomes=row.outcomes,
    )


def told_by(p_adjusted: float, difference: Estimate) -> Told:
    """Say what a comparison tells: where the test does, and its interval leaves out 0.

    The test is of the pairs that both have a verdict; the interval holds what missing verdicts may be.
    """
    if (
        p_adjusted > LEVEL
        or difference.low is None
        or difference.high is None
        or difference.low <= 0 <= difference.high
    ):
        return "not told apart"
    return "higher" if difference.low > 0 else "lower"
