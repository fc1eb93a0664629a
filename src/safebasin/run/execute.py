"""From a study to rows: generate what is missing, score it at θ₀, judge it, look where to measure next. Resumable.

The model is loaded only if a response or a score is missing; another judge needs verdicts alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from safebasin.errors import ModelError, StoreError
from safebasin.landscape.language_tests import calibrated, read_tests
from safebasin.landscape.recall import remember
from safebasin.landscape.traces import is_traced
from safebasin.protocols import Engine
from safebasin.records import Decoding, Point, Response, Score
from safebasin.run.adapt import first_places, refined
from safebasin.run.adopt import adopt_complete
from safebasin.run.asked import check_asked, engine_settings, file_settings, inspect_prompts, settle_date
from safebasin.run.calibration import calibrate, uncalibrated, under
from safebasin.run.capability import measure_capability, unmeasured
from safebasin.run.continued import check_renderings, refuse, take_up, unlike
from safebasin.run.inputs import Inputs, gather, load_engine
from safebasin.run.judging import judge_stored
from safebasin.run.local import LocalBackend
from safebasin.run.manifest import keep_study, write_manifest
from safebasin.run.progress import ProgressHook, Tick, silent
from safebasin.run.trajectories import trace
from safebasin.store import folder as folders
from safebasin.store.connection import number_in
from safebasin.store.db import StudyStore
from safebasin.study import Study, dump
from safebasin.study.plan import Plan, decoded_by, make_plan, resolve_decoding

GUESSED_BATCH = 64
"""Batch size of a plan that is only shown, before an engine has chosen one."""
PACE_EVERY = 5.0
"""Seconds between two records of the pace, by which a plan tells the time that is left."""


def bind_model(store: StudyStore, inputs: Inputs) -> None:
    """Bind the folder to its base model, or check that it is the same one.

    Raises:
        ModelError: where the model is not at hand.
        StoreError: as `check_model`.
    """
    if inputs.fingerprint is None:
        raise ModelError(f"model must be at hand; got {inputs.study.model!r}. Download it, or mend the name.")
    check_model(store, inputs)
    if store.meta("fingerprint") is None:
        store.set_meta("fingerprint", inputs.fingerprint)
        store.set_meta("model", inputs.study.model)


def check_model(store: StudyStore, inputs: Inputs) -> None:
    """Check that a folder is not bound to another model, as far as that can be seen from here.

    Raises:
        StoreError: naming both models.
    """
    known = store.meta("fingerprint")
    if None not in (known, inputs.fingerprint) and known != inputs.fingerprint:
        raise StoreError(
            f"study folder must belong to the model it was made for, {store.meta('model')!r} "
            f"(fingerprint {str(known)[:12]}); got {inputs.study.model!r} "
            f"(fingerprint {str(inputs.fingerprint)[:12]}). Choose another folder with -o."
        )


def plan_for(store: StudyStore | None, inputs: Inputs, *, batch_size: int, regenerate: bool = False) -> Plan:
    """The plan of a study in a folder (or in none), given the batch size of new prompts."""
    stored = () if store is None or regenerate else store.decodings().values()
    return make_plan(
        inputs.study,
        inputs.sets,
        systems=inputs.systems,
        regions=inputs.regions,
        decoding=resolve_decoding(inputs.study, inputs.judges, stored, inputs.decoding),
        known={} if store is None else store.batches(),
        batch_size=batch_size,
        chosen=first_places(inputs.regions),
        gauges=[gauge.setting for gauge in inputs.gauges],
    )


def measure(
    study: Study,
    folder: Path,
    *,
    engine: Engine | None = None,
    progress: ProgressHook = silent,
    regenerate: bool = False,
    study_text: str | None = None,
    opinions: Sequence[Point] = (),
    date: str | None = None,
    templates: bool = False,
) -> Path:
    """Measure what a study lacks in a folder, made if needed; returns the folder. See `Execution`.

    Raises:
        UsageError: for what can be mended; everything measured so far stays in the folder.
    """
    inputs = gather(study, engine=engine)
    made = folders.create(folder)
    with folders.writer(made), StudyStore.open(made) as store:
        Execution(
            inputs=inputs,
            folder=made,
            store=store,
            study_text=study_text or dump(study),
            engine=engine,
            progress=progress,
            regenerate=regenerate,
            opinions=tuple(opinions),
            date=date,
            templates=templates,
        ).run()
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One run of a study in its folder. `run` does all of it; the folder's writer lock is the caller's."""

    inputs: Inputs
    folder: Path
    store: StudyStore
    study_text: str
    """The study file as the user wrote it."""
    engine: Engine | None = None
    """A ready engine; None makes one from the study when it is needed."""
    progress: ProgressHook = silent
    regenerate: bool = False
    opinions: tuple[Point, ...] = ()
    """Points beside θ₀ whose opinion of every response counts: a text is language if one of them finds it so."""
    date: str | None = None
    """The day that a model whose template asks for it is told, where the folder records none; None is today."""
    templates: bool = False
    """Whether the folder may hold responses under several chat templates, as that of an audit may."""

    def run(self) -> Plan:
        """Measure what is missing. Safe to interrupt at any moment and to run again.

        Raises:
            UsageError: for what a user can mend; everything committed stays.
        """
        store = self.store
        bind_model(store, self.inputs)
        if self.engine is not None:
            settle_date(store, self.engine, self.date)
        engine, inputs = self._identified()
        settings = {} if self.engine is not None else file_settings(inputs.study)
        recorded = number_in(store.meta("batch_size"), store.path)
        wanted = inputs.study.batch_size
        check_asked(store, plan_for(store, inputs, batch_size=1, regenerate=self.regenerate).decoding, settings)
        if wanted == "auto" and recorded is None:
            engine = engine or self._load()
            asked = len({prompt.id for s in inputs.sets for prompt in s.prompts})  # sets share their batches
            size = engine.suggest_batch_size(asked, inputs.study.decoding.max_new_tokens)
        else:
            size = int(recorded or GUESSED_BATCH) if wanted == "auto" else wanted
        plan = plan_for(store, inputs, batch_size=size, regenerate=self.regenerate)
        store.set_meta("batch_size", str(size))
        store.add_prompts((p, plan.batches[key]) for key, p in plan.prompts.items())
        store.add_question(points=plan.points, systems=plan.systems, decoding=plan.decoding)
        if self.regenerate or not store.done(plan.decoding.key):
            adopt_complete(store, plan.decoding)
        keep_study(self.folder, self.study_text)
        while True:
            engine = self._measure(plan, engine, size)
            finer = refined(store, plan, self._main_judge())
            if finer is None:
                break
            plan = finer
            store.add_question(points=plan.points, systems=plan.systems, decoding=plan.decoding)
        if inputs.study.trajectories and not is_traced(store, plan):
            engine = engine or self._load()
            trace(store, plan, engine.base)
        return plan

    def _identified(self) -> tuple[Engine | None, Inputs]:
        """The inputs with the decoding as it is done here, and the engine where only the loaded model could tell.

        Raises:
            StoreError: where the folder's responses were decoded otherwise.
        """
        store, inputs, engine = self.store, self.inputs, self.engine
        take_up(store, inputs.decoding)
        differing = unlike(store, inputs.decoding, templates=self.templates)
        is_unsure = inputs.study.dtype == "auto" and differing.keys() == {"dtype"}
        if engine is None and (is_unsure or not store.used_decodings()):
            engine = self._load()
            inputs = replace(inputs, decoding=decoded_by(engine, inputs.decoding))
            differing = unlike(store, inputs.decoding, templates=self.templates)
        if differing:
            raise refuse(differing)
        return engine, inputs

    def _measure(self, plan: Plan, engine: Engine | None, batch_size: int) -> Engine | None:
        """Measure, generate, score and judge what a plan still lacks; returns the engine if one was needed."""
        store, judges = self.store, self.inputs.judges
        remember(store, plan, judges)
        done = store.done(plan.decoding.key)
        jobs = plan.jobs(done)
        missing = unmeasured(store, plan, self.inputs.gauges)
        asked = (Point(), *self.opinions)
        strange = uncalibrated(judges, store, asked)
        if jobs or missing or strange or any(self._unscored(plan, point) for point in asked):
            engine = engine or self._load()
            check_asked(store, plan.decoding, engine_settings(engine))
            inspect_prompts(engine, plan, done)
            check_renderings(store, engine, plan)
            backend = self._backend(engine, plan)
            if strange:
                self.progress(Tick(stage="calibrate", done=0, total=len(strange)))
                calibrate(backend, store, plan, strange)
                remember(store, plan, judges)
            write_manifest(self.folder, plan, self.inputs, engine, batch_size=batch_size, language=read_tests(store))
            measure_capability(backend, store, missing, progress=self.progress)  # first: a task may not be there
            self._generate(backend, plan, jobs, done)
            for point in asked:
                self._score(backend, plan, point)
        judge_stored(store, plan, judges, progress=self.progress)
        return engine

    def _main_judge(self) -> tuple[str, str]:
        """Name and version of the judge behind margin and radius, as it judges this folder."""
        judge = calibrated(self.inputs.main_judge, self.store)
        return judge.name, judge.version

    def _load(self) -> Engine:
        self.progress(Tick(stage="load", done=0, total=1))
        engine = load_engine(self.inputs.study)
        settle_date(self.store, engine, self.date)
        return engine

    def _backend(self, engine: Engine, plan: Plan) -> LocalBackend:
        splits = {
            p.key: int(number_in(self.store.meta(f"split:{plan.decoding.key}:{p.key}"), self.store.path) or 1)
            for p in plan.points
        }

        def forget(point: Point, split: int) -> None:
            self.store.set_meta(f"split:{plan.decoding.key}:{point.key}", str(split))
            self.store.forget(point.key, plan.decoding.key)

        return LocalBackend(engine, plan, splits=splits, forget=forget)

    def _generate(self, backend: LocalBackend, plan: Plan, jobs: Sequence, done: set[tuple[str, str, str]]) -> None:
        start, tokens, fresh, kept = time.monotonic(), 0, 0, 0.0
        per_point = len(plan.systems) * len(plan.prompts)
        have = len(plan.asked(done))
        for _, responses in backend.run(jobs):
            self.store.put_responses(responses)
            new = {(r.point, r.system, r.prompt) for r in responses} - done
            done |= new
            fresh += len(new)
            tokens += sum(r.n_tokens for r in responses)
            seconds = time.monotonic() - start
            if fresh and (not kept or seconds - kept >= PACE_EVERY):  # now: this run may be cut short at any moment
                self.store.set_meta("seconds_per_response", f"{seconds / fresh:.6f}")
                kept = seconds
            self.progress(
                Tick(
                    stage="generate",
                    done=have + fresh,
                    total=plan.size,
                    point=(have + fresh) // per_point,
                    points=len(plan.points),
                    tokens=tokens,
                    seconds=seconds,
                    fresh=fresh,
                )
            )
        if fresh:
            self.store.set_meta("seconds_per_response", f"{(time.monotonic() - start) / fresh:.6f}")

    def _unscored(self, plan: Plan, asked: Point) -> tuple[tuple[Response, ...], ...]:
        """Batches of responses that lack a score under a point, as they were decoded."""
        scored = self.store.scored(under(asked))
        members = plan.batch_members()
        place = {(r.point, r.system, r.prompt): r for r in self.store.responses(plan.decoding.key)}
        batches: list[tuple[Response, ...]] = []
        for point in plan.points:
            for system in plan.systems:
                for ids in members.values():
                    rows = [place[k] for i in ids if (k := (point.key, system.id, i)) in place]
                    if any(r.key not in scored for r in rows):
                        batches.append(tuple(rows))
        return tuple(batches)

    def _score(self, backend: LocalBackend, plan: Plan, asked: Point) -> None:
        batches = self._unscored(plan, asked)
        if not batches:
            return
        backend.move_to(asked)
        start, done, total = time.monotonic(), 0, sum(map(len, batches))
        for batch in batches:
            scores = score_batch(backend, batch, plan.decoding)
            self.store.put_scores(replace(score, under=under(asked)) for score in scores)
            done += len(batch)
            seconds = time.monotonic() - start
            self.progress(Tick(stage="score", done=done, total=total, seconds=seconds, fresh=done))


def score_batch(backend: LocalBackend, batch: Sequence[Response], decoding: Decoding) -> list[Score]:
    """Score one batch under the weights the engine holds; halves the batch where it does not fit into memory.

    A text that is empty or was never decodable gets an empty score: there is nothing to be surprised at.
    """
    empty = [Score(response=r.key, nll=(), ends=()) for r in batch if not r.text or r.broken]
    rows = [r for r in batch if r.text and not r.broken]
    if not rows:
        return empty
    conversations = [backend.conversation(r.prompt, r.system) for r in rows]
    try:
        found = backend.engine.score(conversations, [r.text for r in rows], decoding)
    except MemoryError:
        if len(rows) == 1:
            raise
        half = len(rows) // 2
        return empty + score_batch(backend, rows[:half], decoding) + score_batch(backend, rows[half:], decoding)
    return empty + [Score(response=r.key, nll=s.nll, ends=s.ends) for r, s in zip(rows, found, strict=True)]
