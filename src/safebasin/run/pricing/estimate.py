"""The price of what is left of a plan: lengths, work, memory, and a quote for each device."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from safebasin.catalog import engine_row
from safebasin.judges.scored import score_rules
from safebasin.landscape.language_tests import read_tests
from safebasin.models.sizes import ITEMSIZE, ModelSizes, sizes_of
from safebasin.protocols import CalibratedJudge
from safebasin.records import Message
from safebasin.run.calibration import OWN_ANSWERS, OWN_TOKENS, references_for
from safebasin.run.inputs import Inputs
from safebasin.run.pricing import accelerators
from safebasin.run.pricing.lengths import assumed, count_longer, count_prompts, stored
from safebasin.run.pricing.probe import Clock, check_memory, probe
from safebasin.run.pricing.quotes import Spread, advise, memory_of, quote, quote_here
from safebasin.run.pricing.records import Lengths, Memory, Price, Probed, Work
from safebasin.run.pricing.work import Load, work_of
from safebasin.store.db import StudyStore
from safebasin.study.answered import Answered
from safebasin.study.plan import Plan

__all__ = ["Asking", "Part", "check", "estimate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """The part of a price that a user wants to know."""

    accelerators: Sequence[str] = ()
    """By name; none is all of the table."""
    price_per_hour: float | None = None
    """Of the one accelerator that is named, or, where none is and there is a probe, of this machine."""
    probe: bool = False
    """Whether this machine is measured for ten seconds, its model loaded."""
    clock: Clock = time.perf_counter
    """What a probe tells time by: that of the processor, on a machine that others use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of what a study asks, under a decoding of its own."""

    plan: Plan
    done: Answered
    """Of these, the responses that are there."""


def check(asking: Asking) -> None:
    """Check what was asked, before anything is looked up.

    Raises:
        StudyError: where an accelerator is not known, or a price does not hold.
    """
    named = accelerators.chosen(asking.accelerators)
    is_here = asking.probe and not asking.accelerators
    accelerators.check_price(asking.price_per_hour, devices=1 if is_here else len(named))


def estimate(store: StudyStore | None, inputs: Inputs, parts: Sequence[Part], folder: Path, asking: Asking) -> Price:
    """The price of what a study still lacks.

    Args:
        store: of the study; None where its folder is not there yet.
        inputs: of the study.
        parts: what it asks, first that which it is for.
        folder: of the model.
        asking: what is wanted.

    Raises:
        UsageError: where the sizes of the model cannot be told, or a probe is not possible.
    """
    study, plan, done = inputs.study, parts[0].plan, parts[0].done
    sizes = sizes_of(folder, study.model)
    dtype = plan.decoding.dtype if plan.decoding.dtype in ITEMSIZE else sizes.dtype
    dtype = dtype if dtype in ITEMSIZE else "float32"
    probed = None
    if asking.probe:
        check_memory(sizes, dtype, low_memory=study.low_memory is True, device=study.device)
        probed = probe(inputs, plan, sizes, dtype, clock=asking.clock)
    lengths = [_lengths(store, part.plan, folder, probed) for part in parts]
    loads = [_load(store, inputs, part, found.scored) for part, found in zip(parts, lengths, strict=True)]
    loads[1:] = [replace(load, calibration=0, own=0) for load in loads[1:]]  # once a study
    utmost = [_utmost(sizes, part.plan, found) for part, found in zip(parts, lengths, strict=True)]

    def works(kind: str, batch: int) -> tuple[Work, Work]:
        batched = [replace(load, batches=max(load.batches, -(-load.rows // max(1, batch)))) for load in loads]
        whole = [replace(load, scored=1.0 if load.scored else 0.0) for load in batched]
        return _together(sizes, batched, lengths, kind), _together(sizes, whole, utmost, kind)

    memory = memory_of(sizes, dtype, axes=max(1, loads[0].axes), max_new_tokens=plan.decoding.max_new_tokens)
    asked = study.batch_size if isinstance(study.batch_size, int) else None
    size = asked or max(map(len, plan.batch_members().values()), default=1)
    expected, most = works(dtype, size)
    named = accelerators.chosen(asking.accelerators)
    away = memory if study.dtype != "auto" or done else _on_accelerators(sizes, memory, plan)
    of_here = asking.price_per_hour if asking.probe and not asking.accelerators else None
    price = None if of_here is not None else asking.price_per_hour
    spread, n_prompts = (
        Spread(gpus=study.gpus_per_worker, at_once=engine_row(study.engine).name == "vllm"),
        max(1, len(plan.prompts)),
    )
    quotes = tuple(quote(d, away, works, asked=asked, n_prompts=n_prompts, price=price, spread=spread) for d in named)
    here = None
    if probed is not None:
        total = psutil.virtual_memory().total
        here = quote_here(probed, memory, works, total=total, batch=size, price=of_here)
    return Price(
        model=sizes,
        expected=expected,
        most=most,
        memory=memory,
        said=(*lengths[0].said, *filter(None, [inputs.computed]), *_said(sizes, plan, folder)),
        here=here,
        probed=probed,
        quotes=quotes,
        advice=advise(sizes, away, quotes, named),
        sources=accelerators.sources(),
    )


def _on_accelerators(sizes: ModelSizes, memory: Memory, plan: Plan) -> Memory:
    """The memory where `--dtype auto` is the checkpoint's own."""
    dtype = sizes.dtype if sizes.dtype in ITEMSIZE else "float32"
    axes = memory.directions // (4 * sizes.parameters)
    return memory_of(sizes, dtype, axes=axes, max_new_tokens=plan.decoding.max_new_tokens)


def _together(sizes: ModelSizes, loads: Sequence[Load], lengths: Sequence[Lengths], kind: str) -> Work:
    """The work of several loads, each with answers of its own length."""
    works = [asdict(work_of(sizes, load, found, kind)) for load, found in zip(loads, lengths, strict=True)]
    return Work(**{name: sum(work[name] for work in works) for name in works[0]})


def _utmost(sizes: ModelSizes, plan: Plan, lengths: Lengths) -> Lengths:
    """Lengths where answers take what decoding allows, or what the context has left, and nothing is shared."""
    room = (sizes.context or float("inf")) - lengths.prompt
    most = max(1.0, min(plan.decoding.max_new_tokens, room))
    return replace(lengths, shared=0.0, answer=most, passes=most)


def _lengths(store: StudyStore | None, plan: Plan, folder: Path, probed: Probed | None) -> Lengths:
    held = stored(store, plan.decoding)
    if probed is not None and held is None:
        return probed.lengths
    if probed is None:
        prompt, of_prompts = count_prompts(_asked(plan), folder)
        shared = 0.0
    else:
        prompt, shared, of_prompts = probed.lengths.prompt, probed.lengths.shared, ""
    scored = {} if probed is None else {"scored": probed.lengths.scored}
    if held is not None:
        answer, passes, n = held
        of_answers = f"answers: those of the {n:,} responses that are there"
    else:
        answer, passes, of_answers = assumed(plan.decoding)
    said = tuple(filter(None, (of_prompts, of_answers)))
    return Lengths(prompt=prompt, shared=shared, answer=answer, passes=passes, said=said, **scored)


def _load(store: StudyStore | None, inputs: Inputs, part: Part, scored: float) -> Load:
    plan, tasks = part.plan, part.plan.tasks(part.done)
    points = list(dict.fromkeys(task.point for task in tasks if task.point.terms))
    needs_scores = bool(score_rules(inputs.judges))
    needs_test = any(isinstance(judge, CalibratedJudge) for judge in inputs.judges)
    is_calibrated = store is not None and bool(read_tests(store))
    rows = references_for(plan.study) if needs_test and not is_calibrated and tasks else ()
    return Load(
        points=len(points),
        directions=len({spec for point in points for spec, _ in point.terms}),
        axes=max((len(point.terms) for point in points), default=0),
        batches=len(tasks),
        rows=sum(len(task.prompts) for task in tasks),
        scored=scored if needs_scores and tasks else 0.0,
        asked=len({(task.system, prompt) for task in tasks for prompt in task.prompts}) if needs_scores else 0,
        calibration=2 * sum(len(m.content) for row in rows for m in row.messages) // 4,
        own=OWN_ANSWERS * OWN_TOKENS if rows else 0,
    )


def _asked(plan: Plan) -> list[tuple[Message, ...]]:
    """The conversations of every system prompt."""
    return [tuple(system.messages(prompt)) for system in plan.systems for prompt in plan.prompts.values()]


def _said(sizes: ModelSizes, plan: Plan, folder: Path) -> tuple[str, ...]:
    found: list[str] = []
    if sizes.stored_bytes is None:
        found.append("the weights are not here: sizes are those that config.json promises")
    if sizes.packed:
        found.append(f"the weights are packed ({sizes.packed}): such a model stays at θ₀, and cannot be mapped")
    asked, context = _asked(plan), sizes.context
    if context is not None and (n := count_longer(asked, folder, context)):
        of = f"{n} of {len(asked)} prompts with their system prompts"
        remedy = "`map` refuses them: shorten them or leave them out"
        found.append(f"{of} do not fit the context of {context} tokens; {remedy}")
    return tuple(found)
