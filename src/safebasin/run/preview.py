"""What a study would run, without running it: for `safebasin plan`. Reads a folder if there is one, writes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from safebasin.errors import ModelError, UsageError
from safebasin.judges.scored import score_rules
from safebasin.run.adopt import adoptable
from safebasin.run.continued import settled_dtype, take_up
from safebasin.run.execute import check_model
from safebasin.run.inputs import Inputs, gather
from safebasin.run.noise_version import noise_in
from safebasin.run.planned import GUESSED_BATCH, plan_for
from safebasin.run.pricing.estimate import Asking, Part, check, estimate
from safebasin.run.pricing.records import Price
from safebasin.run.rounds import reached
from safebasin.run.token_budget import check_fast, untold
from safebasin.store.connection import number_in
from safebasin.store.db import StudyStore
from safebasin.store.folder import DATABASE, check_target
from safebasin.store.rows import PlanRows
from safebasin.study import Study
from safebasin.study.answered import Answered
from safebasin.study.fast import checked
from safebasin.study.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A preview of a study: what it would run in a folder, and what is done."""

    study: Study
    folder: Path
    points: int
    prompts: int
    systems: int
    responses: int
    done: int
    batches_left: int
    max_tokens_left: int
    """Upper limit: every missing response decoded to `max_new_tokens`."""
    weights_bytes: int | None
    """Bytes of the checkpoint's weight files; None where they cannot be seen from here."""
    seconds_left: float | None
    """By the pace recorded in the folder; None where nothing was measured there yet."""
    unscored: int
    """Responses that are there and still to be scored, which takes the model and a fraction of the time."""
    price: Price | None
    """What the rest costs; None where it was not asked for, or the model cannot be seen."""
    unknown: tuple[str, ...]
    """What cannot be known without loading the model, or without the network, in plain sentences."""
    missing: tuple[str, ...]
    """What is not there, a file or a folder say, in the words of the error that `map` would end with; the numbers
    leave it out."""


def preview(study: Study, folder: Path, asking: Asking | None = None) -> Planned:
    """Plan a study against what its folder holds.

    Args:
        study: the study.
        folder: where it would be measured.
        asking: what is wanted to be known of its price; None asks for none.

    Raises:
        UsageError: where the study itself does not hold together (prompts, judges, directions), or the folder is no
            study's, or another model's.
    """
    check_target(folder)
    if asking is not None:
        check(asking)
    inputs = gather(study, require_model=False, noise=noise_in(folder), dtype=settled_dtype(folder))
    check_fast(inputs)
    unknown = list(inputs.unknown)
    store = StudyStore.open(folder) if (folder / DATABASE).is_file() else None
    try:
        recorded = None if store is None else number_in(store.meta("batch_size"), store.path)
        size = study.batch_size if isinstance(study.batch_size, int) else int(recorded or GUESSED_BATCH)
        if recorded is None and study.batch_size == "auto":
            unknown.append(f"the batch size is chosen when the model is loaded (counted here as {size})")
        if store is not None:
            check_model(store, inputs)
            take_up(store, inputs.decoding)
        plan = plan_for(store, inputs, batch_size=size)
        plan = plan if store is None else reached(store, plan, inputs.judges, inputs.main_judge)
        done, unscored = _done(store, plan)
        if len(done) < plan.size:
            unknown += _untold(store, plan)
        unscored = unscored if score_rules(inputs.judges) else 0
        pace = None if store is None else number_in(store.meta("seconds_per_response"), store.path)
        price = None if asking is None or inputs.missing else _price(store, inputs, plan, done, asking, unknown)
    finally:
        if store is not None:
            store.close()
    if pace is None:
        unknown.append(f"the time: no pace is recorded in this folder{'' if done else ', nothing was decoded yet'}")
    shown = _planned(plan, folder, done, pace=pace, unknown=unknown)
    return replace(shown, unscored=unscored, missing=inputs.missing, price=price)


def _untold(store: StudyStore | None, plan: Plan) -> Iterator[str]:
    """Say what a plan that is not done cannot tell before it is run."""
    for region in plan.regions:
        if region.points == "auto":
            yield f"how many points {region.name!r} takes: it is sampled as it moves"
    yield from untold(store, plan)


def _done(store: StudyStore | None, plan: Plan) -> tuple[Answered, int]:
    """What a folder holds of a plan, and how much of that is still to be scored."""
    if store is None:
        return Answered(), 0
    done = plan.asked(store.done(plan.decoding.key))
    if not done:  # as when the study is run: what another stop rule did not cut is taken over
        found = (r for _, responses in adoptable(store, plan.decoding) for r in responses)
        return plan.asked(Answered.of((r.point, r.system, r.prompt) for r in found)), 0
    return done, PlanRows.of(store, plan).count_unscored()


def _planned(plan: Plan, folder: Path, done: Answered, *, pace: float | None, unknown: list[str]) -> Planned:
    left = plan.size - len(done)
    return Planned(
        study=plan.study,
        folder=folder,
        points=len(plan.points),
        prompts=len(plan.prompts),
        systems=len(plan.systems),
        responses=plan.size,
        done=len(done),
        batches_left=len(plan.tasks(done)),
        max_tokens_left=left * plan.decoding.max_new_tokens,
        weights_bytes=_weights_bytes(plan.study.model),
        seconds_left=None if pace is None else left * pace,
        unscored=0,
        price=None,
        unknown=tuple(unknown),
        missing=(),
    )


def _price(
    store: StudyStore | None, inputs: Inputs, plan: Plan, done: Answered, asking: Asking, unknown: list[str]
) -> Price | None:
    """The price of the rest, where the sizes of the model can be seen; a probe needs them."""
    from safebasin.models.reference import folder_of

    try:
        parts = [Part(plan=plan, done=done), *_sample(store, plan)]
        return estimate(store, inputs, parts, folder_of(plan.study.model), asking)
    except ModelError as error:
        if asking.probe:
            raise
        if inputs.fingerprint is not None:  # else it is said already
            unknown.append(f"the price: {error}")
        return None


def _sample(store: StudyStore | None, plan: Plan) -> Iterator[Part]:
    """What fast mode is checked by, which is asked beside its plan; nothing of any other plan."""
    sample = checked(plan)
    if sample is not None:
        done = Answered() if store is None else sample.asked(store.done(sample.decoding.key))
        yield Part(plan=sample, done=done)


def _weights_bytes(model: str) -> int | None:
    from safebasin.models.reference import resolve

    try:
        folder = resolve(model).folder
    except UsageError:
        return None
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))
