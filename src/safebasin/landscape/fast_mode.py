"""Fast mode as a folder has it: its token budget, what it left out, how its verdicts agree with those of exact mode.

Reads, asks nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from safebasin import stats
from safebasin.landscape.stored import StoredStudy
from safebasin.landscape.tables import Array, VerdictTable
from safebasin.records import Decoding, Estimate, ExactCheck, FastMode, LeftOut
from safebasin.store.connection import parsed
from safebasin.store.db import StudyStore
from safebasin.store.rows import PlanRows
from safebasin.store.verdict_arrays import UNSCORED, read_verdict_arrays
from safebasin.study.fast import checked, in_full
from safebasin.study.plan import Plan

__all__ = [
    "NOT_COMPUTED",
    "TokenBudget",
    "fast_notes",
    "read_budget",
    "read_fast_mode",
    "without_visage",
    "write_budget",
]

NOT_COMPUTED = "not computed in fast mode"
"""How the method of a statistic begins that fast mode leaves out."""
_VISAGE = (
    f"{NOT_COMPUTED}: VISAGE drops the points at exactly 100 %, and points that are interpolated are hardly ever there"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBudget:
    """A calibrated token budget."""

    tokens: int
    longest: int
    """The most tokens after which a verdict of the pilot stood."""
    n: int
    """Responses of the pilot."""


def read_budget(store: StudyStore, full: Decoding) -> TokenBudget | None:
    """The budget that a folder keeps for a decoding to the full length; None where it is not calibrated yet."""
    text = store.meta(_key(full))
    with parsed(store.path):
        return None if text is None else TokenBudget(**{name: int(n) for name, n in json.loads(text).items()})


def write_budget(store: StudyStore, full: Decoding, budget: TokenBudget) -> None:
    """Keep it."""
    store.set_meta(_key(full), json.dumps(asdict(budget)))


def _key(full: Decoding) -> str:
    return f"budget:{full.key}"


def without_visage(summary: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """The statistics of a panel in fast mode: VISAGE is none of them, and says why."""
    return {
        name: Estimate(value=None, method=_VISAGE) if name.startswith("visage") else found
        for name, found in summary.items()
    }


def read_fast_mode(study: StoredStudy, tables: Sequence[VerdictTable]) -> FastMode | None:
    """The budget of a fast study and its agreement with exact mode; None where the study is none.

    Args:
        study: what is stored.
        tables: the verdicts of its judges in fast mode.
    """
    sample = checked(study.plan)
    if sample is None:
        return None
    budget = read_budget(study.store, in_full(study.plan))
    said = read_verdict_arrays(PlanRows.of(study.store, sample), sample, study.judges)
    exact = [VerdictTable(judge=judge, said=found) for (judge, _), found in zip(study.judges, said, strict=True)]
    return FastMode(
        budget=None if budget is None else budget.tokens,
        longest=None if budget is None else budget.longest,
        pilot=0 if budget is None else budget.n,
        max_new_tokens=sample.decoding.max_new_tokens,
        points=len(sample.points),
        checks=tuple(_check(sample, fast, own) for fast, own in zip(tables, exact, strict=True)),
        left_out=_left_out(study.plan),
    )


def _left_out(plan: Plan) -> LeftOut | None:
    n = len(plan.systems) * sum(map(len, plan.left_out.values()))
    if not n:
        return None
    return LeftOut(points=len(plan.left_out), all_points=len(plan.points), responses=n, all_responses=plan.size + n)


def _check(sample: Plan, fast: VerdictTable, exact: VerdictTable) -> ExactCheck:
    """How the verdicts of one judge agree over the sample."""
    equal, prompts, moved = list[Array](), list[str](), list[float]()
    points = list(sample.point_keys)
    for system in sample.systems:
        for asked in sample.sets:
            labels = [table.labels(points, system.id, asked.ids) for table in (fast, exact)]
            missing = (labels[0] == UNSCORED) | (labels[1] == UNSCORED)
            equal.append(np.where(missing, np.nan, labels[0] == labels[1]).astype(np.float64).ravel())
            prompts += list(asked.ids) * len(points)
            moved += _differences(*(table.success(points, system.id, asked.ids) for table in (fast, exact)))
    return ExactCheck(
        judge=fast.judge,
        equal=stats.estimate_clustered_rate(np.concatenate(equal), prompts),
        largest=max(moved, default=None),
    )


def _differences(fast: Array, exact: Array) -> Iterator[float]:
    """By how much the rate of each point differs, over the prompts that both modes have a verdict of."""
    for one, other in zip(fast, exact, strict=True):
        both = ~(np.isnan(one) | np.isnan(other))
        if both.any():
            yield abs(float(one[both].mean() - other[both].mean()))


def fast_notes(found: FastMode | None) -> Iterator[str]:
    """Say what readers should know of it, in sentences."""
    if found is None:
        return
    if found.budget is None:
        yield "Fast mode: its token budget is not calibrated yet; run the same command to go on."
        return
    yield (
        f"Fast mode: a response ends after {found.budget} tokens at the latest, of {found.max_new_tokens}, or where it "
        f"repeats itself (in {found.pilot} responses that calibrated it no refusal took more than {found.longest}); a "
        "text that was cut is judged by its beginning. VISAGE is not computed."
    )
    if found.left_out is not None:
        yield f"Fast mode: {found.left_out.words()}."
    for check in found.checks:
        yield f"Agreement with exact mode by {check.judge}, measured at {found.points} points: {check.words()}."
