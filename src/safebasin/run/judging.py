"""Verdicts over what is stored. Needs no model, but those of judges that ask one."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import fields
from itertools import islice

from safebasin.judges.apply import is_undecidable, judge_all
from safebasin.landscape.language_tests import calibrated
from safebasin.protocols import AskedJudge, Cost, Judge
from safebasin.records import Response, Score
from safebasin.run.progress import ProgressHook, Tick, silent
from safebasin.store.connection import parsed
from safebasin.store.db import StudyStore
from safebasin.study.plan import Plan

BATCH = 5_000
"""Verdicts that are committed at a time. Those of a judge that asks are committed one by one: each was paid for."""


def judge_stored(
    store: StudyStore, plan: Plan, judges: Iterable[Judge], *, progress: ProgressHook = silent
) -> dict[str, int]:
    """Judge what a plan has stored and a judge's version has not seen yet; returns the new verdicts by judge.

    Raises:
        UsageError: where a judge that asks cannot ask; what it has said is kept and not asked again.
    """
    responses, prompts = _wanted(store, plan), plan.prompts
    scores: dict[str, Score] | None = None
    new: dict[str, int] = {}
    for judge in (calibrated(judge, store) for judge in judges):
        todo = _unjudged(store, judge, responses)
        if todo and scores is None:
            scores = store.scores([r.key for r in responses])
        new[judge.name] = 0
        verdicts = judge_all(judge, prompts, todo, scores or {})
        size, fresh, total = 1 if isinstance(judge, AskedJudge) else BATCH, 0, len(responses)
        with _counted(store, judge):
            while batch := list(islice(verdicts, size)):
                new[judge.name] += store.put_verdicts(batch)
                fresh += len(batch)
                progress(Tick(stage="judge", done=total - len(todo) + fresh, total=total, fresh=fresh))
        if todo:
            progress(Tick(stage="judge", done=total, total=total, fresh=len(todo)))
    return new


@contextmanager
def _counted(store: StudyStore, judge: Judge) -> Generator[None]:
    """Add what a judge that asks takes to what it took in this folder before, however the block ends."""
    if not isinstance(judge, AskedJudge):
        yield
        return
    before = judge.spent
    try:
        yield
    finally:
        known, after = read_cost(store, judge), judge.spent
        total = {
            f.name: getattr(known, f.name) + getattr(after, f.name) - getattr(before, f.name) for f in fields(Cost)
        }
        store.set_meta(_cost_key(judge), json.dumps(total))


def read_cost(store: StudyStore, judge: Judge) -> Cost:
    """What a judge has taken in this folder so far, in all sessions."""
    text = store.meta(_cost_key(calibrated(judge, store)))
    with parsed(store.path):
        return Cost() if text is None else Cost(**json.loads(text))


def _cost_key(judge: Judge) -> str:
    return f"cost:{judge.name}@{judge.version}"


def estimate_stored(store: StudyStore, plan: Plan, judges: Iterable[Judge]) -> dict[str, Cost]:
    """What judging a plan would cost at most, by name of those judges that ask; asks nobody."""
    responses, prompts = _wanted(store, plan), plan.prompts
    scores = store.scores([r.key for r in responses])
    found: dict[str, Cost] = {}
    for judge in (calibrated(judge, store) for judge in judges):
        if isinstance(judge, AskedJudge):
            todo = (r for r in _unjudged(store, judge, responses) if not is_undecidable(judge, r))
            found[judge.name] = judge.estimate((prompts[r.prompt], r, scores.get(r.key)) for r in todo)
    return found


def _wanted(store: StudyStore, plan: Plan) -> list[Response]:
    return [r for r in store.responses(plan.decoding.key) if plan.asks(r.point, r.system, r.prompt)]


def _unjudged(store: StudyStore, judge: Judge, responses: Iterable[Response]) -> list[Response]:
    seen = store.judged(judge.name, judge.version)
    return [r for r in responses if r.key not in seen]
