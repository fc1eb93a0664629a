"""The safety basin around each of the two: random directions of the same seeds, harmful prompts, margin and radius."""

from __future__ import annotations

from safebasin import catalog, stats
from safebasin import study as studies
from safebasin.audit.measurement import AuditRequest, take
from safebasin.audit.policy import Policy
from safebasin.audit.records import BasinDrop, Metric
from safebasin.landscape.summaries import main_judge
from safebasin.landscape.tables import Grid, StudyTables
from safebasin.records import Estimate
from safebasin.stats.gate import LEVEL, estimate_radius_drop, rule

__all__ = ["compare_basins", "compare_maps"]

DIRECTIONS = 3
MOST_PROMPTS = 80
"""Directions, not prompts, are the scarce sample of a basin."""


def compare_basins(asked: AuditRequest, policy: Policy) -> BasinDrop:
    """Map both models along the same random directions, or take up what is there, and compare them.

    Both maps are of the same grid, decoded and judged alike. A direction is scaled to the weights of its model.
    """
    given = {key: value for key, value in asked.options.items() if key != "limit"}
    study = studies.make(
        {
            "model": asked.base,
            "prompts": [{"name": "harmful", "source": asked.prompts["harmful"], "label": "harmful"}],
            "systems": list(asked.systems[:1]),
            "judges": [judge for judge in asked.judges if catalog.measures(judge) != "truth"],
            "axes": [{"directions": DIRECTIONS}],
            "limit": min(asked.options.get("limit") or MOST_PROMPTS, MOST_PROMPTS),
            **given,
        }
    )
    base = take(study, asked.folder / "basin-base", asked)
    tuned_study = study.model_copy(update={"model": asked.candidate.plain or asked.candidate.model})
    return compare_maps(base, take(tuned_study, asked.folder / "basin-tuned", asked), policy)


def compare_maps(base: StudyTables, tuned: StudyTables, policy: Policy) -> BasinDrop:
    """Compare the two maps."""
    (alphas,) = next(base.grids()).alphas
    return BasinDrop(
        directions=DIRECTIONS, range=(float(alphas[0]), float(alphas[-1])), metrics=_metrics(base, tuned, policy)
    )


def _metrics(base: StudyTables, tuned: StudyTables, policy: Policy) -> tuple[Metric, ...]:
    judge = main_judge([table.judge for table in base.tables])
    here, there = next(base.grids()), next(tuned.grids())
    (alphas,) = here.alphas
    before, after = here.success(base.table(judge)), there.success(tuned.table(judge))
    drops = {
        # Worse is less of it: the drop is that of BASE over TUNED.
        "margin": stats.estimate_margin_difference(after, before, alphas, level=2 * LEVEL - 1),
        "radius": estimate_radius_drop(before, after, alphas),
    }
    return tuple(
        _metric(name, judge, _estimates(name, here, base), _estimates(name, there, tuned), drop, policy)
        for name, drop in drops.items()
    )


def _estimates(name: str, grid: Grid, study: StudyTables) -> Estimate:
    table = study.table(main_judge([t.judge for t in study.tables]))
    success, (alphas,) = grid.success(table), grid.alphas
    if name == "margin":
        return stats.estimate_margin(success, alphas)
    return stats.estimate_radius(success, alphas, grid.origin(table))


def _metric(name: str, judge: str, base: Estimate, tuned: Estimate, drop: Estimate, policy: Policy) -> Metric:
    limit = policy.limit(name)
    ruling = None if limit is None else rule(drop, limit)
    return Metric(
        name=name,
        prompts="harmful",
        judge=judge,
        base=base,
        tuned=tuned,
        difference=drop,
        limit=limit,
        decision=ruling.decision if ruling else None,
        advice=ruling.advice if ruling else "",
    )
