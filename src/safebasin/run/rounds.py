"""The rounds of a study that finds out as it goes what to ask: stages of prompts, then further places. Asks nothing.

Each round follows from the verdicts of those before, so that a run that goes on, or a look at its folder, finds where
it stands by walking through them.
"""

from __future__ import annotations

from collections.abc import Sequence

from safebasin.landscape.language_tests import calibrated
from safebasin.protocols import Judge
from safebasin.run.next_round import refined
from safebasin.run.prompt_stopping import begun, next_stage
from safebasin.store.db import StudyStore
from safebasin.store.rows import PlanRows
from safebasin.study.plan import Plan

__all__ = ["following", "reached"]


def following(store: StudyStore, plan: Plan, judges: Sequence[Judge], main: Judge) -> Plan | None:
    """The plan of the round after one that is measured and judged; None where it was the last.

    Args:
        store: with the verdicts on what was asked.
        plan: what was asked so far.
        judges: those of the study.
        main: the one behind margin and radius.
    """
    further = next_stage(store, plan, judges)
    if further is not None:
        return further
    judge = calibrated(main, store)
    finer = refined(store, plan, (judge.name, judge.version))
    return None if finer is None else begun(finer, settled=plan.point_keys)


def reached(store: StudyStore, plan: Plan, judges: Sequence[Judge], main: Judge) -> Plan:
    """The round that a study has got to in a folder: the first that is not measured and judged whole, else the last.

    Args:
        store: of the folder.
        plan: its first round.
        judges: those of the study.
        main: the one behind margin and radius.
    """
    if not plan.stopped and all(region.points != "auto" for region in plan.regions):
        return plan
    while _is_whole(store, plan, judges):
        further = following(store, plan, judges, main)
        if further is None:
            break
        plan = further
    return plan


def _is_whole(store: StudyStore, plan: Plan, judges: Sequence[Judge]) -> bool:
    rows = PlanRows.of(store, plan)
    versions = [(judge.name, judge.version) for judge in (calibrated(judge, store) for judge in judges)]
    return rows.count() == plan.size and not any(rows.count_unjudged(versions))
