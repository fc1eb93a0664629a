"""Hands the tasks of a plan to a backend and writes what comes back: the only writer, wherever the work is done."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import cast

from safebasin.protocols import Backend, Generate, Generation, ScoreTexts, Split, TokenScores
from safebasin.records import Point, Response, Score
from safebasin.run.progress import ProgressHook, Tick
from safebasin.store.connection import number_in
from safebasin.store.db import StudyStore
from safebasin.store.rows import PlanRows
from safebasin.study.plan import Plan

__all__ = ["generate", "score", "under"]

PACE_EVERY = 5.0
"""Seconds between two records of the pace, by which a plan tells the time that is left."""

Places = set[tuple[str, str, str]]


def under(point: Point) -> str:
    """Name in a score the point that was asked: empty for θ₀."""
    return "" if point == Point() else point.key


# --- responses -------------------------------------------------------------------------------------------------------


def generate(
    backend: Backend, store: StudyStore, plan: Plan, done: Places, *, date: str | None, progress: ProgressHook
) -> None:
    """Generate what a plan lacks, each batch written as it comes; `done` grows by it.

    A batch that does not fit into memory halves the batches of its whole point: what was decoded there is forgotten, so
    that all responses of a point come from batches of one size. Where batches mean nothing to the engine, it stays.
    """
    whole = not backend.facts().batch_invariant
    keys = {point: f"split:{plan.decoding.key}:{point.key}" for point in plan.points}
    splits = {point: int(number_in(store.meta(key), store.path) or 1) for point, key in keys.items()}
    pace = _Pace(store, plan, len(plan.asked(done)), progress)
    left = plan.tasks(done, whole=whole, date=date)
    while left:  # once, and once more for every round in which memory was short somewhere
        # 1) Do what is left
        given_up: dict[Point, int] = {}
        for task, answer in backend.run(_ready(left, splits, given_up)):
            point = task.point
            if point in given_up:
                continue  # from before its batches turned out too large
            # 2) Too large: note the smaller size for whoever resumes, and forget what larger batches gave at this point
            if isinstance(answer, Split):
                given_up[point] = answer.factor
                store.set_meta(keys[point], str(answer.factor))
                if whole:
                    store.forget(point.key, plan.decoding.key)
                continue
            # 3) Write first, count afterwards: a task may come back twice
            responses = _responses(cast("Generate", task), cast("tuple[Generation, ...]", answer))
            store.put_responses(responses)
            new = {(r.point, r.system, r.prompt) for r in responses} - done
            done |= new
            pace.tick(len(new), sum(r.n_tokens for r in responses))
        if not given_up:
            break
        # 4) Begin these points anew, in smaller batches
        splits |= given_up
        again = plan.tasks(whole=True, date=date) if whole else plan.tasks(done, whole=False, date=date)
        left = tuple(task for task in again if task.point in given_up)
    pace.end()


def _ready(left: Sequence[Generate], splits: dict[Point, int], given_up: dict[Point, int]) -> Iterator[Generate]:
    """Tasks as they are taken, without those of points that have to be begun anew."""
    for task in left:
        if task.point not in given_up:
            yield replace(task, split=splits[task.point]) if splits[task.point] > 1 else task


def _responses(task: Generate, generations: Sequence[Generation]) -> tuple[Response, ...]:
    """The records of what was decoded."""
    point, system, decoding = task.point.key, task.system.id, task.decoding.key
    return tuple(
        Response(
            point=point,
            prompt=prompt.id,
            system=system,
            decoding=decoding,
            text=generation.text,
            thinking=generation.thinking,
            n_tokens=generation.n_tokens,
            finish_reason=generation.finish_reason,
            broken=generation.broken,
            gap=generation.gap,
        )
        for prompt, generation in zip(task.prompts, generations, strict=True)
    )


class _Pace:
    """Tells how far generation is, and keeps how fast it goes."""

    def __init__(self, store: StudyStore, plan: Plan, have: int, progress: ProgressHook) -> None:
        self._store, self._plan, self._have, self._progress = store, plan, have, progress
        self._per_point = len(plan.systems) * len(plan.prompts)
        self._start = time.monotonic()
        self._fresh = self._tokens = 0
        self._kept = 0.0

    def tick(self, fresh: int, tokens: int) -> None:
        """So many responses more, and tokens in them."""
        self._fresh += fresh
        self._tokens += tokens
        seconds = time.monotonic() - self._start
        # the first at once: this run may be cut short at any moment
        if self._fresh and (not self._kept or seconds - self._kept >= PACE_EVERY):
            self._keep(seconds)
            self._kept = seconds
        done = self._have + self._fresh
        self._progress(
            Tick(
                stage="generate",
                done=done,
                total=self._plan.size,
                point=done // self._per_point,
                points=len(self._plan.points),
                tokens=self._tokens,
                seconds=seconds,
                fresh=self._fresh,
            )
        )

    def end(self) -> None:
        """All is there."""
        if self._fresh:
            self._keep(time.monotonic() - self._start)

    def _keep(self, seconds: float) -> None:
        self._store.set_meta("seconds_per_response", f"{seconds / self._fresh:.6f}")


# --- scores ----------------------------------------------------------------------------------------------------------

RECENT = 64
"""Batches whose scores are kept at hand: texts that come again, as refusals often do, are scored once."""

Texts = tuple[str, tuple[tuple[str, str], ...]]
"""A system prompt, and (prompt, text) of each response under it: what decides the scores of a batch."""


def score(
    backend: Backend, store: StudyStore, plan: Plan, asked: Point, *, date: str | None, progress: ProgressHook
) -> None:
    """Score what a plan lacks under the weights of a point, each batch written as it comes.

    A text that is empty or was never decodable gets an empty score: there is nothing to be surprised at. The texts of
    the batches in flight are all that is held.
    """
    batches, systems = _unscored(store, plan, under(asked)), {system.id: system for system in plan.systems}
    rows, start, done = PlanRows.of(store, plan), time.monotonic(), 0
    total = sum(len(ids) for group in batches.values() for ids in group)
    pending: dict[ScoreTexts, list[Sequence[Response]]] = {}
    recent: dict[Texts, tuple[TokenScores, ...]] = {}

    def put(responses: Sequence[Response], found: Sequence[TokenScores]) -> None:
        nonlocal done
        scores = zip(responses, found, strict=True)
        store.put_scores(Score(response=r.key, nll=s.nll, ends=s.ends, under=under(asked)) for r, s in scores)
        done += len(responses)
        progress(Tick(stage="score", done=done, total=total, seconds=time.monotonic() - start, fresh=done))

    def tasks() -> Iterator[ScoreTexts]:
        for (point, system), group in batches.items():
            there = rows.at(point, system)
            for ids in group:
                batch = [there[i] for i in ids]
                if empty := [r for r in batch if not r.text or r.broken]:
                    put(empty, [TokenScores(nll=(), ends=())] * len(empty))
                responses = [r for r in batch if r.text and not r.broken]
                if not responses:
                    continue
                task = ScoreTexts(
                    point=asked,
                    system=systems[system],
                    prompts=tuple(plan.prompts[r.prompt] for r in responses),
                    texts=tuple(r.text for r in responses),
                    decoding=plan.decoding,
                    date=date,
                )
                # the same texts again: scored a moment ago, on their way, or new
                if (known := recent.get(_texts(task))) is not None:
                    put(responses, known)
                elif task in pending:
                    pending[task].append(responses)
                else:
                    pending[task] = [responses]
                    yield task

    for task, answer in backend.run(tasks()):
        task, found = cast("ScoreTexts", task), cast("tuple[TokenScores, ...]", answer)
        recent[_texts(task)] = found
        # the oldest goes, so that what is held does not grow with the study
        if len(recent) > RECENT:
            del recent[next(iter(recent))]
        for responses in pending.pop(task):
            put(responses, found)


def _unscored(store: StudyStore, plan: Plan, asked: str) -> dict[tuple[str, str], list[tuple[str, ...]]]:
    """Of each point and system prompt, the batches as they were decoded of which a response lacks a score."""
    missing = {(p.point, p.system, p.prompt) for p in PlanRows.of(store, plan).unscored(asked)}
    have, members = store.done(plan.decoding.key), plan.batch_members().values()
    found: dict[tuple[str, str], list[tuple[str, ...]]] = {}
    for point in plan.points:
        for system in plan.systems:
            place = (point.key, system.id)
            for ids in members:
                if any((*place, i) in missing for i in ids):
                    found.setdefault(place, []).append(tuple(i for i in ids if (*place, i) in have))
    return found


def _texts(task: ScoreTexts) -> Texts:
    return task.system.id, tuple(zip((prompt.id for prompt in task.prompts), task.texts, strict=True))
