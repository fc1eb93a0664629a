"""Hands the tasks of a plan to a backend and writes what comes back: the only writer, wherever the work is done."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import cast

from safebasin.judges.scored import score_rules, scored_until, undecided
from safebasin.protocols import (
    Backend,
    Generate,
    GenerateTogether,
    Generation,
    Judge,
    ScoreTexts,
    Split,
    TokenScores,
)
from safebasin.records import Point, Response, Score
from safebasin.run.ending import batches, until_wished
from safebasin.run.progress import ProgressHook, Tick
from safebasin.run.together import bundled, settled_groups, tasks_in
from safebasin.store.connection import number_in
from safebasin.store.db import StudyStore
from safebasin.store.rows import PlanRows, StoredPlace
from safebasin.study.answered import Answered
from safebasin.study.plan import Plan

__all__ = ["generate", "score", "under"]

PACE_EVERY = 5.0
"""Seconds between two records of the pace, by which a plan tells the time that is left."""


def under(point: Point) -> str:
    """Name in a score the point that was asked: empty for θ₀."""
    return "" if point == Point() else point.key


# --- responses -------------------------------------------------------------------------------------------------------


@batches()
def generate(
    backend: Backend, store: StudyStore, plan: Plan, done: Answered, *, date: str | None, progress: ProgressHook
) -> None:
    """Generate what a plan lacks, each batch written as it comes; `done` grows by it.

    A batch that does not fit into memory halves the batches of its whole point, and of those that it was asked together
    with: what was decoded there is forgotten, so that all responses of a point come from batches of one size. Where
    batches mean nothing to the engine, it stays.
    """
    facts = backend.facts()
    whole = not facts.batch_invariant
    keys = {point: f"split:{plan.decoding.key}:{point.key}" for point in plan.points}
    splits = {point: int(number_in(store.meta(key), store.path) or 1) for point, key in keys.items()}
    pace = _Pace(store, plan, len(plan.asked(done)), progress)
    groups = settled_groups(store, plan, done, facts)
    every = plan.tasks(date=date) if groups and whole else ()
    left = plan.tasks(done, whole=whole, date=date)
    while left:  # once, and once more for every round in which memory was short somewhere
        # 1) Do what is left
        given_up: dict[Point, int] = {}
        for task, answer in backend.run(until_wished(_ready(bundled(left, groups, every), splits, given_up))):
            parts = tasks_in(cast("Generate | GenerateTogether", task))
            if parts[0].point in given_up:
                continue  # from before its batches turned out too large
            # 2) Too large: note the smaller size for whoever resumes, and forget what larger batches gave at this point
            if isinstance(answer, Split):
                given_up |= {part.point: answer.factor for part in parts}
                with store.transaction():  # what larger batches gave is not resumed in smaller ones
                    for point in (part.point for part in parts):
                        store.set_meta(keys[point], str(answer.factor))
                        if whole:
                            store.forget(point.key, plan.decoding.key)
                continue
            # 3) Write first, count afterwards: a task may come back twice
            responses = _responses(parts, cast("tuple[Generation, ...]", answer))
            store.put_responses(responses)
            new = done.add((r.point, r.system, r.prompt) for r in responses)
            pace.tick(new, sum(r.n_tokens for r in responses))
        if not given_up:
            break
        # 4) Begin these points anew, in smaller batches
        splits |= given_up
        again = plan.tasks(whole=True, date=date) if whole else plan.tasks(done, whole=False, date=date)
        left = tuple(task for task in again if task.point in given_up)
    pace.end()


def _ready(
    left: Sequence[Generate | GenerateTogether], splits: dict[Point, int], given_up: dict[Point, int]
) -> Iterator[Generate | GenerateTogether]:
    """Tasks as they are taken, without those of points that have to be begun anew."""
    for task in left:
        if task.point in given_up:
            continue
        if (split := splits[task.point]) == 1:
            yield task
        elif isinstance(task, Generate):
            yield replace(task, split=split)
        else:
            yield GenerateTogether(tasks=tuple(replace(part, split=split) for part in task.tasks))


def _responses(tasks: Sequence[Generate], generations: Sequence[Generation]) -> tuple[Response, ...]:
    """The records of what was decoded, task after task."""
    asked = [(task, prompt) for task in tasks for prompt in task.prompts]
    return tuple(
        Response(
            point=task.point.key,
            prompt=prompt.id,
            system=task.system.id,
            decoding=task.decoding.key,
            text=generation.text,
            thinking=generation.thinking,
            n_tokens=generation.n_tokens,
            finish_reason=generation.finish_reason,
            broken=generation.broken,
            gap=generation.gap,
        )
        for (task, prompt), generation in zip(asked, generations, strict=True)
    )


class _Pace:
    """Tells how far generation is, and keeps how fast it goes."""

    def __init__(self, store: StudyStore, plan: Plan, have: int, progress: ProgressHook) -> None:
        self._store, self._plan, self._have, self._progress = store, plan, have, progress
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
                point=done * len(self._plan.points) // self._plan.size,
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

CHUNK, MOST = 64, 256
"""Responses after which a task of scoring ends with its prompt, and in any case."""


@batches()
def score(
    backend: Backend,
    store: StudyStore,
    plan: Plan,
    asked: Point,
    judges: Sequence[Judge],
    *,
    date: str | None,
    progress: ProgressHook,
) -> None:
    """Score what a plan lacks under the weights of a point, as far as its judges need, each chunk written as it comes.

    The responses to a prompt come together, from all points: the engine reads their prompt once, and equal texts too.
    Those that the text alone decides, and those that were never decodable, get an empty score: nobody is surprised. So
    do, under any point but θ₀, those for which the score under θ₀ suffices to the judges, who are calibrated. A chunk
    is committed whole, so the next run makes the same chunks of what is left.
    """
    systems = {system.id: system for system in plan.systems}
    chunks, start, done = _chunks(store, plan, under(asked)), time.monotonic(), 0
    total, readers = sum(len(keys) for _, keys in chunks), [j.name for j in judges if score_rules([j])]
    pending: dict[ScoreTexts, list[Sequence[tuple[Response, int]]]] = {}

    def put(wanted: Sequence[tuple[Response, int]], answer: Mapping[tuple[str, str, int], TokenScores]) -> None:
        nonlocal done
        found = ((r, answer.get((r.prompt, r.text, until), _NOTHING)) for r, until in wanted)
        scores = (Score(response=r.key, nll=s.nll, ends=s.ends, under=under(asked)) for r, s in found)
        store.put_scores(scores, reopened=readers)
        done += len(wanted)
        progress(Tick(stage="score", done=done, total=total, seconds=time.monotonic() - start, fresh=done))

    def tasks() -> Iterator[ScoreTexts]:
        for system, keys in chunks:
            wanted = _wanted(store, keys, judges, further=under(asked) != "")
            texts = dict.fromkeys((r.prompt, r.text, until) for r, until in wanted if until)
            if not texts:
                put(wanted, {})
                continue
            task = ScoreTexts(
                point=asked,
                system=systems[system],
                prompts=tuple(plan.prompts[prompt] for prompt, _, _ in texts),
                texts=tuple(text for _, text, _ in texts),
                untils=tuple(until for _, _, until in texts),
                decoding=plan.decoding,
                date=date,
            )
            pending.setdefault(task, []).append(wanted)
            if len(pending[task]) == 1:
                yield task

    for task, answer in backend.run(until_wished(tasks())):
        task, found = cast("ScoreTexts", task), cast("tuple[TokenScores, ...]", answer)
        texts = zip((prompt.id for prompt in task.prompts), task.texts, task.untils, strict=True)
        scores = dict(zip(texts, found, strict=True))
        for wanted in pending.pop(task):
            put(wanted, scores)


_NOTHING = TokenScores(nll=(), ends=())


def _wanted(
    store: StudyStore, keys: Sequence[str], judges: Sequence[Judge], *, further: bool
) -> list[tuple[Response, int]]:
    """Responses, and how many characters of each are to be scored: under θ₀, or under a further point."""
    before = store.scores(keys) if further else {}
    found: list[tuple[Response, int]] = []
    for r in store.responses_of(keys):
        asking = undecided(judges, r, before.get(r.key)) if further else judges
        found.append((r, 0 if r.broken else scored_until(asking, r)))
    return found


def _chunks(store: StudyStore, plan: Plan, asked: str) -> list[tuple[str, list[str]]]:
    """Responses without a score by their keys, each list under one system prompt, prompt after prompt."""
    at = {prompt: i for i, prompt in enumerate(plan.prompts)}
    places = sorted(PlanRows.of(store, plan).unscored(asked), key=lambda p: (p.system, at[p.prompt], p.key))
    found: list[tuple[str, list[str]]] = []
    before: StoredPlace | None = None
    for place in places:
        goes_on = before is not None and before.system == place.system
        room = CHUNK if before is not None and before.prompt != place.prompt else MOST
        if not goes_on or len(found[-1][1]) >= room:
            found.append((place.system, []))
        found[-1][1].append(place.key)
        before = place
    return found
