"""Verdicts over what is stored. Needs no model, but those of judges that ask one.

Read, judged and committed a page at a time; those of a judge that asks are committed one by one: each was paid for.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from itertools import islice

from safebasin.judges.apply import is_undecidable, judge_all, judge_wordings
from safebasin.judges.scored import score_rules
from safebasin.landscape.language_tests import calibrated
from safebasin.landscape.score_reach import reaches, suffices
from safebasin.protocols import AskedJudge, Cost, Judge, WordingJudge
from safebasin.records import Prompt
from safebasin.run.progress import ProgressHook, Tick, silent
from safebasin.store.connection import parsed
from safebasin.store.db import PAGE, StudyStore
from safebasin.store.opinions import put_opinions
from safebasin.store.rows import PlanRows
from safebasin.study.plan import Plan


def judge_stored(
    store: StudyStore, plan: Plan, judges: Iterable[Judge], *, progress: ProgressHook = silent
) -> dict[str, int]:
    """Judge what a plan has stored and a judge's version has not seen yet; returns the new verdicts by judge.

    Raises:
        UsageError: where a judge that asks cannot ask; what it has said is kept and not asked again.
    """
    rows, prompts, new = PlanRows.of(store, plan), plan.prompts, dict[str, int]()
    chosen = [calibrated(judge, store) for judge in judges]
    unjudged = rows.count_unjudged([(judge.name, judge.version) for judge in chosen])
    total = rows.count() if any(unjudged) else 0
    for judge, left in zip(chosen, unjudged, strict=True):
        fresh, new[judge.name] = 0, 0
        if not left:
            continue
        pages = _by_wording(rows, judge) if isinstance(judge, WordingJudge) else _one_by_one(rows, judge, prompts)
        with _counted(store, judge):
            for said, kept in pages:
                new[judge.name] += kept
                fresh += said
                progress(Tick(stage="judge", done=total - left + fresh, total=total, fresh=fresh))
        progress(Tick(stage="judge", done=total, total=total, fresh=left))
    return new


def _by_wording(rows: PlanRows, judge: WordingJudge) -> Iterator[tuple[int, int]]:
    """Judge what is unjudged a page at a time; yields how many were judged and how many of these verdicts are new."""
    of = judge.name, judge.version
    for keys, wordings in rows.unjudged_wordings(*of):
        yield len(keys), put_opinions(rows.store, of, keys, judge_wordings(judge, wordings))


def _one_by_one(rows: PlanRows, judge: Judge, prompts: Mapping[str, Prompt]) -> Iterator[tuple[int, int]]:
    """The same of a judge that may look at prompts and scores, or ask."""
    store, size, needed = rows.store, 1 if isinstance(judge, AskedJudge) else PAGE, score_rules([judge])
    suffice = suffices(store, needed)
    for page in rows.unjudged(judge.name, judge.version, scored=bool(needed)):
        # what ends before the judge is done with it is missing, never a part for the whole
        scores = {r.key: s for r, s in page if s is not None and (suffice or reaches(judge, r, s))}
        verdicts = iter(judge_all(judge, prompts, [response for response, _ in page], scores))
        while batch := list(islice(verdicts, size)):
            yield len(batch), store.put_verdicts(batch)


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
    """Read what a judge has taken in this folder so far, in all sessions."""
    text = store.meta(_cost_key(calibrated(judge, store)))
    with parsed(store.path):
        return Cost() if text is None else Cost(**json.loads(text))


def _cost_key(judge: Judge) -> str:
    return f"cost:{judge.name}@{judge.version}"


def estimate_stored(store: StudyStore, plan: Plan, judges: Iterable[Judge]) -> dict[str, Cost]:
    """Estimate what judging a plan would cost at most, by name of those judges that ask; asks nobody."""
    rows, prompts, found = PlanRows.of(store, plan), plan.prompts, dict[str, Cost]()
    for judge in (calibrated(judge, store) for judge in judges):
        if isinstance(judge, AskedJudge):
            left = (row for page in rows.unjudged(judge.name, judge.version) for row in page)
            found[judge.name] = judge.estimate(
                (prompts[response.prompt], response, score)
                for response, score in left
                if not is_undecidable(judge, response)
            )
    return found
