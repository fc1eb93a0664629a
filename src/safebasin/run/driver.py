"""Hands the tasks of a plan to a backend and writes what comes back: the only writer, wherever the work is done."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import cast

from safebasin.protocols import Backend, Generate, Generation, Score, Split, TokenScores
from safebasin.records import Point, Response
from safebasin.records import Score as ScoreRecord
from safebasin.run.progress import ProgressHook, Tick
from safebasin.store.connection import number_in
from safebasin.store.db import StudyStore
from safebasin.study.plan import Plan

__all__ = ["generate", "score", "under", "unscored"]

PACE_EVERY = 5.0
"""Seconds between two records of the pace, by which a plan tells the time that is left."""

Places = set[tuple[str, str, str]]


def under(point: Point) -> str:
    """How a score names the point that was asked: empty for θ₀."""
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
    while left:
        given_up: dict[Point, int] = {}
        for task, answer in backend.run(_ready(left, splits, given_up)):
            point = task.point
            if point in given_up:
                continue  # from before its batches turned out too large
            if isinstance(answer, Split):
                given_up[point] = answer.factor
                store.set_meta(keys[point], str(answer.factor))
                if whole:
                    store.forget(point.key, plan.decoding.key)
                continue
            responses = _responses(cast("Generate", task), cast("tuple[Generation, ...]", answer))
            store.put_responses(responses)
            new = {(r.point, r.system, r.prompt) for r in responses} - done
            done |= new
            pace.tick(len(new), sum(r.n_tokens for r in responses))
        if not given_up:
            break
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


def unscored(store: StudyStore, plan: Plan, asked: Point) -> tuple[tuple[Response, ...], ...]:
    """Batches of responses that lack a score under a point, as they were decoded."""
    scored = store.scored(under(asked))
    members = plan.batch_members()
    place = {(r.point, r.system, r.prompt): r for r in store.responses(plan.decoding.key)}
    batches: list[tuple[Response, ...]] = []
    for point in plan.points:
        for system in plan.systems:
            for ids in members.values():
                rows = [place[k] for i in ids if (k := (point.key, system.id, i)) in place]
                if any(r.key not in scored for r in rows):
                    batches.append(tuple(rows))
    return tuple(batches)


def score(
    backend: Backend, store: StudyStore, plan: Plan, asked: Point, *, date: str | None, progress: ProgressHook
) -> None:
    """Score what a plan lacks under the weights of a point, each batch written as it comes.

    A text that is empty or was never decodable gets an empty score: there is nothing to be surprised at. Batches of the
    same texts, as refusals often are, are scored once.
    """
    batches = unscored(store, plan, asked)
    start, done, total = time.monotonic(), 0, sum(map(len, batches))
    tasks: dict[Score, list[list[Response]]] = {}

    def put(rows: Sequence[Response], found: Sequence[TokenScores]) -> None:
        name = under(asked)
        scores = zip(rows, found, strict=True)
        store.put_scores(ScoreRecord(response=r.key, nll=s.nll, ends=s.ends, under=name) for r, s in scores)

    def tell(n: int) -> None:
        nonlocal done
        done += n
        progress(Tick(stage="score", done=done, total=total, seconds=time.monotonic() - start, fresh=done))

    prompts, systems = plan.prompts, {system.id: system for system in plan.systems}
    for batch in batches:
        rows = [r for r in batch if r.text and not r.broken]
        empty = [r for r in batch if not r.text or r.broken]
        if empty:
            put(empty, [TokenScores(nll=(), ends=())] * len(empty))
            tell(len(empty))
        if rows:
            task = Score(
                point=asked,
                system=systems[rows[0].system],
                prompts=tuple(prompts[r.prompt] for r in rows),
                texts=tuple(r.text for r in rows),
                decoding=plan.decoding,
                date=date,
            )
            tasks.setdefault(task, []).append(rows)
    for task, answer in backend.run(tasks):
        for rows in tasks[cast("Score", task)]:
            put(rows, cast("tuple[TokenScores, ...]", answer))
            tell(len(rows))
