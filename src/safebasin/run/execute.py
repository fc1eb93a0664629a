"""From a study to rows: generate what is missing, score it at θ₀, judge it, look where to measure next. Resumable.

The model is loaded only if a response or a score is missing; another judge needs verdicts alone.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from safebasin import catalog
from safebasin.errors import ModelError, StoreError, UsageError, expected
from safebasin.judges.scored import score_rules
from safebasin.landscape.fast_mode import read_budget
from safebasin.landscape.language_tests import calibrated, read_tests
from safebasin.landscape.last_plan import write_last_plan
from safebasin.landscape.notes import COMPUTED
from safebasin.landscape.score_reach import opinions_suffice, settle, settle_opinions, suffices
from safebasin.landscape.traces import is_traced
from safebasin.protocols import Backend, Engine, EngineFacts, EngineSpec, Judge
from safebasin.records import Decoding, Point
from safebasin.run.adopt import adopt_complete
from safebasin.run.beginning import written_to
from safebasin.run.calibration import calibrate, uncalibrated
from safebasin.run.continued import check_renderings, refuse, settled_dtype, take_up, unlike
from safebasin.run.driver import generate, score, under
from safebasin.run.dtype import explain_dtype
from safebasin.run.heartbeat import beating
from safebasin.run.inputs import Inputs, engine_spec, gather
from safebasin.run.judging import judge_stored
from safebasin.run.local import LocalBackend
from safebasin.run.manifest import keep_study, keep_tables, set_aside, write_manifest
from safebasin.run.measurements import measure_missing, unmeasured
from safebasin.run.moves import check_moves
from safebasin.run.noise_version import noise_in
from safebasin.run.planned import GUESSED_BATCH, automatic_size, plan_for
from safebasin.run.progress import ProgressHook, Tick, silent
from safebasin.run.prompt_settings import check_asked, engine_settings, file_settings, inspect_prompts, settle_date
from safebasin.run.rounds import following, reached
from safebasin.run.sharding import bind_shard, check_shard
from safebasin.run.together import lines_of, note_adapters
from safebasin.run.token_budget import calibrate_budget, check_fast, under_budget
from safebasin.run.trajectories import trace
from safebasin.store import folder as folders
from safebasin.store.connection import number_in
from safebasin.store.db import StudyStore
from safebasin.store.rows import PlanRows
from safebasin.study import Study, dump
from safebasin.study.fast import checked, in_full, pilot
from safebasin.study.plan import Plan, decoded_by
from safebasin.study.shards import Shard

_log = logging.getLogger(__name__)


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
    backend: str = "local",
    workers: int | None = None,
    shard: Shard | None = None,
    beside: Sequence[Path] = (),
    held: ExitStack | None = None,
) -> Path:
    """Measure what a study lacks in a folder, made if needed; returns the folder. See `Execution`.

    Random directions are drawn by the noise of the folder, else of those `beside` it that it will be compared with.
    The lock of its one writer is given back in the end, or with `held`, for a caller that goes on to write results.

    Raises:
        UsageError: for what can be mended; everything measured so far stays in the folder.
    """
    catalog.get("backend", backend)
    if workers is not None and type(workers) is not int:
        raise UsageError(expected("workers", "a whole number", workers, "Leave it out for the backend's own choice."))
    check_shard(study, shard)
    folders.check_target(folder)  # before the database is read: SQLite makes one of an empty file
    if engine is not None and (backend != "local" or workers not in (None, 1)):
        remedy = "Name an engine of the catalogue instead: every worker makes its own."
        raise UsageError(expected("a ready engine", "run by one worker in this process", backend, remedy))
    before = settled_dtype(folder, *beside)
    inputs = gather(
        study,
        engine=engine,
        noise=noise_in(folder, *beside),
        dtype=before,
        elsewhere=backend not in ("local", "processes") and study.device == "auto",
    )
    check_fast(inputs)
    is_plain = backend == "local" and workers in (None, 1)
    spec = engine_spec(study, inputs.decoding.dtype, lines_of(inputs.regions, folder, *beside))
    opened = None if is_plain else catalog.open_backend(backend, spec, workers)
    with written_to(folder, held) as store, beating(folder, progress) as hook:
        Execution(
            inputs=inputs,
            spec=spec,
            folder=folder,
            store=store,
            study_text=study_text or dump(study),
            engine=engine,
            progress=hook,
            regenerate=regenerate,
            opinions=tuple(opinions),
            date=date,
            templates=templates,
            backend=opened,
            shard=shard,
            settles=before is None,
        ).run()
    return folder


@dataclass(frozen=True, kw_only=True)
class Execution:
    """One run of a study in its folder. `run` does all of it; the folder's writer lock is the caller's."""

    inputs: Inputs
    spec: EngineSpec
    """Of the study's engine."""
    folder: Path
    store: StudyStore
    study_text: str
    """The study file as the user wrote it."""
    engine: Engine | None = None
    """A ready engine; None makes one from the study when it is needed."""
    backend: Backend | None = None
    """What runs engines, closed in the end; None is one worker in this process, made when it is needed."""
    progress: ProgressHook = silent
    regenerate: bool = False
    opinions: tuple[Point, ...] = ()
    """Points beside θ₀ whose opinion of every response counts: a text is language if one of them finds it so."""
    date: str | None = None
    """The day that a model whose template asks for it is told, where the folder records none; None is today."""
    templates: bool = False
    """Whether the folder may hold responses under several chat templates, as that of an audit may."""
    shard: Shard | None = None
    """The share of the points that this folder is for; None is all of them."""
    settles: bool = True
    """Whether this run is the first to say what the dtype `auto` means."""

    def run(self) -> Plan:
        """Measure what is missing. Safe to interrupt at any moment and to run again.

        Raises:
            UsageError: for what a user can mend; everything committed stays.
        """
        try:
            return self._run()
        finally:
            if "_road" in vars(self):
                self._road.close()

    def _run(self) -> Plan:
        store = self.store
        bind_model(store, self.inputs)
        bind_shard(store, self.shard)
        if self.engine is not None:
            _ = self._facts  # so that the day is settled, whatever is missing
        inputs = self._identified()
        settings = {} if self.engine is not None else file_settings(inputs.study)
        recorded = number_in(store.meta("batch_size"), store.path)
        wanted = inputs.study.batch_size
        check_asked(store, plan_for(store, inputs, batch_size=1, regenerate=self.regenerate).decoding, settings)
        if wanted == "auto" and recorded is None:
            size = automatic_size(self._road, inputs)
        else:
            size = int(recorded or GUESSED_BATCH) if wanted == "auto" else wanted
        plan = plan_for(store, inputs, batch_size=size, regenerate=self.regenerate, shard=self.shard)
        store.set_meta("batch_size", str(size))
        store.add_prompts((p, plan.batches[key]) for key, p in plan.prompts.items())
        store.add_question(points=plan.points, systems=plan.systems, decoding=plan.decoding)
        if self.regenerate or plan.decoding.key not in store.used_decodings():
            adopt_complete(store, plan.decoding)
        set_aside(self.folder)
        if keep_study(self.folder, self.study_text):
            keep_tables(self.folder)
        if plan.exact is not None:
            plan = self._budgeted(plan, plan.exact, size)
        plan = self._rounds(plan, size)
        if (sample := checked(plan)) is not None:
            self._generate(sample, size, self.inputs.judges, kept=plan)
            judge_stored(store, sample, self.inputs.judges, progress=self.progress)
        if inputs.study.trajectories and not is_traced(store, plan):
            trace(self._road, store, plan)
        return plan

    def _identified(self) -> Inputs:
        """The inputs with the decoding as it is done here; loads the model where only that can tell.

        Raises:
            StoreError: where the folder's responses were decoded otherwise.
        """
        store, inputs = self.store, self.inputs
        take_up(store, inputs.decoding)
        differing = unlike(store, inputs.decoding, templates=self.templates)
        unsure = {"dtype": inputs.study.dtype == "auto", "engine": inputs.study.engine != "hf"}
        is_unsure = bool(differing) and all(unsure.get(name, False) for name in differing)
        if self.engine is None and (is_unsure or not store.used_decodings()):
            inputs = replace(inputs, decoding=decoded_by(self._facts, inputs.decoding))
            differing = unlike(store, inputs.decoding, templates=self.templates)
        if differing:
            raise refuse(differing)
        return inputs

    def _budgeted(self, plan: Plan, exact: Decoding, batch_size: int) -> Plan:
        """A fast plan under its token budget, for which its pilot is asked to the full length first."""
        store, judges = self.store, self.inputs.judges
        store.add_question(points=(), systems=(), decoding=exact)
        if read_budget(store, in_full(plan)) is None:
            first = pilot(plan)
            store.add_question(points=first.points, systems=(), decoding=first.decoding)
            write_last_plan(store, plan, judges)
            self._generate(first, batch_size, (), kept=plan)
        cut = under_budget(plan, calibrate_budget(store, plan, judges))
        store.add_question(points=cut.points, systems=cut.systems, decoding=cut.decoding)
        if cut.decoding.key not in store.used_decodings():
            adopt_complete(store, cut.decoding)
        return cut

    def _rounds(self, plan: Plan, batch_size: int) -> Plan:
        """Measure, generate, score and judge what a plan still lacks, round by round; returns the last."""
        store, judges, main = self.store, self.inputs.judges, self.inputs.main_judge
        plan = reached(store, plan, judges, main)
        while True:
            store.add_question(points=plan.points, systems=plan.systems, decoding=plan.decoding)
            write_last_plan(store, plan, judges)
            self._generate(plan, batch_size, judges, kept=plan)
            judge_stored(store, plan, judges, progress=self.progress)
            further = following(store, plan, judges, main)
            if further is None:
                return plan
            plan = further

    def _generate(self, plan: Plan, batch_size: int, judges: Sequence[Judge], *, kept: Plan) -> None:
        """Measure, generate and score what a plan still lacks.

        Args:
            plan: what is asked now.
            batch_size: of the folder.
            judges: those for whom it is scored.
            kept: the plan that the folder is for, of which this may be a part.
        """
        store, progress = self.store, self.progress
        done = store.done(plan.decoding.key)
        missing = unmeasured(store, plan, self.inputs.measurements)
        asked = (Point(), *self.opinions)
        strange = uncalibrated(judges, store, asked)
        rules = score_rules(judges)
        unscored = sum(PlanRows.of(store, plan).count_unscored(under(point)) for point in asked) if rules else 0
        lacks = unscored or not self._scores_suffice(judges) or not (self.folder / folders.MANIFEST).is_file()
        if plan.tasks(done) or missing or strange or lacks:
            backend, facts = self._road, self._facts
            check_moves(facts, plan)
            check_asked(store, plan.decoding, engine_settings(facts))
            self._note_dtype(facts)
            note_adapters(store, facts)
            inspect_prompts(backend, plan, done, date=facts.date)
            check_renderings(store, backend, plan, facts)
            if strange:
                progress(Tick(stage="calibrate", done=0, total=len(strange)))
                calibrate(backend, store, plan, strange, date=facts.date)
                write_last_plan(store, kept, self.inputs.judges)
            write_manifest(self.folder, plan, self.inputs, facts, batch_size=batch_size, language=read_tests(store))
            measure_missing(backend, store, missing, progress=progress)  # first: a task may not be there
            generate(backend, store, plan, done, date=facts.date, progress=progress)
            if rules:
                settle(store, rules)
                fitted = [calibrated(judge, store) for judge in judges]
                if self.opinions:
                    settle_opinions(store, fitted)
                for point in asked:
                    score(backend, store, plan, point, fitted, date=facts.date, progress=progress)

    def _scores_suffice(self, judges: Sequence[Judge]) -> bool:
        """Whether the scores that the folder has go as far as these judges need, under every model that is asked."""
        if not suffices(self.store, score_rules(judges)):
            return False
        return not self.opinions or opinions_suffice(self.store, [calibrated(judge, self.store) for judge in judges])

    def _note_dtype(self, facts: EngineFacts) -> None:
        """Remember what is to be said of the dtype that `auto` came to, and say it once."""
        words = self.inputs.computed or explain_dtype(facts, self.inputs.study.model)
        if words and self.inputs.study.dtype == "auto" and self.store.meta(COMPUTED) is None:
            self.store.set_meta(COMPUTED, words)
            if self.settles:
                _log.warning("%s", words)

    @cached_property
    def _road(self) -> Backend:
        """What runs the engine, opened when it is first needed."""
        if self.engine is not None:
            return LocalBackend(self.engine)
        self.progress(Tick(stage="load", done=0, total=1))
        return self.backend or catalog.open_backend("local", self.spec)

    @cached_property
    def _facts(self) -> EngineFacts:
        """What the engine says of itself, asked on the day of this folder."""
        facts = self._road.facts()
        return replace(facts, date=settle_date(self.store, facts, self.date))
