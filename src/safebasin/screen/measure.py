"""One base and its tuned models looked at, and the models put in order. Nothing is generated, nothing is judged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch

from safebasin import catalog
from safebasin.audit.candidate import find_candidate
from safebasin.edits.attribution.matrices import linear_matrices
from safebasin.edits.refusal_direction.writing import writers_of
from safebasin.errors import ModelError, PromptError, StudyError, UsageError, expected, none_usable
from safebasin.locate.role_prompts import load_roles, role_sources
from safebasin.locate.states import prompt_tokens, read_prompts
from safebasin.models.reference import resolve
from safebasin.prompts.labels import Label
from safebasin.protocols import Delta, Engine, EngineSpec, Inside
from safebasin.records import Decoding, DirectionSpec, Point, Prompt, System
from safebasin.screen.along import along, along_refusal
from safebasin.screen.opening import divergence
from safebasin.screen.rates import MEASURED_ON, flags_of
from safebasin.screen.records import SIGNALS, Along, BlockMoved, Opening, Screened, Screening
from safebasin.screen.refusal import RefusalAxis, find_axis, gap
from safebasin.screen.spectra import LEADING, Spectrum, spectrum
from safebasin.stats.landscape import Array
from safebasin.weights.distance import Distance, block_labels, measure_distance, whole_change
from safebasin.weights.stream import prepare_one

__all__ = ["FEWEST", "ScreenRequest", "known_before", "screen"]

FEWEST = 8
"""Prompts of each kind below which no direction is taken from them."""
_T = TypeVar("_T")
KINDS: dict[str, Label] = {"harmful": "harmful", "benign": "benign"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenRequest:
    """A screen as it is asked for: models, prompts, settings."""

    spec: EngineSpec
    """BASE: the aligned model."""
    tuned: tuple[str, ...]
    """After: checkpoints, or folders of adapters."""
    before: str | None = None
    """The model that BASE was aligned from."""
    sources: tuple[tuple[str, str], ...] = ()
    """`harmful` and `benign` → source of prompts; none at all leaves out what reads prompts."""
    limit: int = 32
    """Prompts of each kind, at most."""
    system: System = field(default_factory=lambda: System(name="default"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """What prompts show of BASE."""

    tokens: Mapping[str, Sequence[Sequence[int]]]
    opening: Mapping[str, torch.Tensor]
    axis: RefusalAxis | None
    gap: float
    writers: tuple[tuple[str, bool], ...]
    """Weights that write to the residual stream: name, and whether stored as (in, out)."""


def screen(request: ScreenRequest, note: Callable[[str], None] = lambda text: None) -> Screening:
    """Look at tuned models of a base.

    Args:
        request: which, and by what.
        note: told in a sentence what is being done.

    Raises:
        ModelError: where BASE or the model before alignment cannot be used, or no tuned model can.
        PromptError: where there are too few prompts of a kind.
        StudyError: where no tuned model is given, or only one kind of prompts.
    """
    if not request.tuned:
        raise StudyError(expected("tuned models", "one or more", "none", "Name what was tuned of BASE."))
    prompts = _prompts(request)
    toward, unusable = _tried(request.tuned, lambda model: _toward(model, request))  # before anything is read
    engine = catalog.open_engine(request.spec)
    if not isinstance(engine, Inside):
        got = engine.facts().engine
        raise UsageError(expected("the engine", "one whose model is in this process", got, "Take hf."))
    before = request.before or known_before(request.spec.model)
    aligned = None if before is None else prepare_one(_toward(before, request), engine.base)
    notes: list[str] = []
    read = _read(engine, request, prompts, notes) if prompts else None

    def look(model: str) -> Screened:
        note(f"looking at {model}")
        return _screened(engine, request, model, toward[model], aligned, read)

    seen, failed = _tried(tuple(toward), look)
    found = tuple(seen.values())
    engine.move_to(Point())
    by = next(signal for signal in SIGNALS if all(signal in model.signals for model in found))
    return Screening(
        base=request.spec.model,
        before=before,
        fingerprint=engine.facts().fingerprint,
        prompts={kind: f"{dict(_sources(request))[kind]}, {len(some)} prompts" for kind, some in prompts.items()},
        layer=read.axis.layer if read is not None and read.axis is not None else None,
        ordered_by=by,
        flags_hold=request.spec.model.startswith(MEASURED_ON),
        models=tuple(sorted(found, key=lambda model: (-len(model.flags), -model.signals[by]))),
        failed={model: str(problem) for model, problem in (unusable | failed).items()},
        notes=tuple(notes),
    )


def _tried(models: Sequence[str], act: Callable[[str], _T]) -> tuple[dict[str, _T], dict[str, ModelError]]:
    """What came of each model, and what went wrong with others.

    Raises:
        UsageError: where it went wrong with all of them, with the reasons.
    """
    found: dict[str, _T] = {}
    failed: dict[str, ModelError] = {}
    for model in models:
        try:
            found[model] = act(model)
        except ModelError as problem:
            failed[model] = problem
    if failed and not found:
        raise none_usable("tuned models", failed)
    return found, failed


def known_before(model: str) -> str | None:
    """Name the checkpoint `base` of the world that an aligned model belongs to; None of any other model."""
    world, _, checkpoint = model.removeprefix("world:").partition("/")
    if not model.startswith("world:") or checkpoint != "aligned" or "base" not in catalog.world(world).checkpoints:
        return None
    return f"world:{world}/base"


def _toward(model: str, request: ScreenRequest) -> DirectionSpec:
    """The line from BASE to a model, which may be an adapter.

    Raises:
        ModelError: where it cannot lie on a line from BASE.
    """
    candidate = find_candidate(model, resolve(request.spec.model), dtype=request.spec.dtype)
    if not candidate.on_line:
        remedy = "Such a model is not screened: audit it."
        raise ModelError(
            expected(model, "weights that can be compared with those of BASE", candidate.difference, remedy)
        )
    return DirectionSpec(kind=candidate.axis_kind, target=candidate.target, normalize="none")


# --- prompts ---------------------------------------------------------------------------------------------------------


def _sources(request: ScreenRequest) -> dict[str, str]:
    if not request.sources and not request.spec.model.startswith("world:"):
        return {}
    return role_sources(request.spec.model, request.sources, KINDS)


def _prompts(request: ScreenRequest) -> dict[str, tuple[Prompt, ...]]:
    sources = _sources(request)
    if not sources:
        return {}
    found = load_roles(sources, KINDS, request.limit)
    for kind, some in found.items():
        if len(some) < FEWEST:
            remedy = "Give a longer file, or a higher --limit."
            raise PromptError(expected(f"{kind} prompts", f"at least {FEWEST}", len(some), remedy))
    return found


def _read(engine: Inside, request: ScreenRequest, prompts: Mapping[str, Sequence[Prompt]], notes: list[str]) -> _Read:
    """What the prompts show of BASE; says in a note what they do not."""
    assert isinstance(engine, Engine)
    decoding = Decoding(template_args=request.spec.template_args)
    tokens = {kind: prompt_tokens(engine, some, request.system, decoding) for kind, some in prompts.items()}
    engine.move_to(Point())
    with engine.lend() as (model, _):
        seen = {kind: read_prompts(model, rows) for kind, rows in tokens.items()}
        states = {kind: read.states for kind, read in seen.items()}
        axis, writers = _axis(states, notes), ()
        if axis is not None:
            ids = torch.tensor([list(tokens["harmful"][0])], device=next(model.parameters()).device)
            found = writers_of(model, ids, states["harmful"].shape[2])
            writers = tuple((matrix.name, matrix.transposed) for matrix in found)
            if not writers:
                notes.append(
                    "What writes to the residual stream cannot be told here: no cosine to the refusal direction."
                )
    width = 0.0 if axis is None else gap(axis, states["harmful"], states["benign"])
    opening = {kind: read.words for kind, read in seen.items()}
    return _Read(tokens=tokens, opening=opening, axis=axis, gap=width, writers=writers)


def _axis(states: Mapping[str, Array], notes: list[str]) -> RefusalAxis | None:
    try:
        return find_axis(states["harmful"], states["benign"])
    except ValueError as problem:
        notes.append(f"There is no refusal direction: {problem}.")
        return None


# --- one model -------------------------------------------------------------------------------------------------------


def _screened(
    engine: Inside, request: ScreenRequest, model: str, spec: DirectionSpec, aligned: Delta | None, read: _Read | None
) -> Screened:
    delta = prepare_one(spec, engine.base)
    distance = measure_distance(engine.base, delta)
    if distance.n_tensors == 0:
        raise ModelError(expected(model, "another model than BASE", "the same weights", "Name what was tuned."))
    with engine.lend() as (module, _):
        spectra = _spectra(engine, delta, [matrix.name for matrix in linear_matrices(module)])
    unalignment = None if aligned is None else along(engine.base, delta, aligned)
    refusal = separation = opening = None
    if read is not None:
        if read.axis is not None and read.writers:
            refusal = along_refusal(engine.base, delta, read.axis.direction, read.writers)
        opening, separation = _answered(engine, spec, read)
    signals = _signals(distance, unalignment, refusal, separation, opening)
    return Screened(
        name=model,
        relative=distance.relative,
        n_tensors=distance.n_tensors,
        blocks=_blocks(engine, distance, spectra),
        stable_rank=_mean_rank(spectra.values()),
        unalignment=unalignment,
        refusal=refusal,
        separation=separation,
        opening=opening,
        signals=signals,
        flags=flags_of(signals) if request.spec.model.startswith(MEASURED_ON) else (),
    )


def _signals(
    distance: Distance, unalignment: Along | None, refusal: Along | None, separation: float | None,
    opening: Opening | None,
) -> dict[str, float]:  # fmt: skip
    """What was measured as suspicion, under the names of `SIGNALS`."""
    measured = {
        "opening": None if opening is None else opening.harmful,
        "unalignment": None if unalignment is None else unalignment.cosine,
        "refusal": None if refusal is None else refusal.cosine,
        "separation": None if separation is None else 1 - separation,
        "displacement": distance.relative,
    }
    return {name: value for name in SIGNALS if (value := measured[name]) is not None}


def _spectra(engine: Inside, delta: Delta, names: Sequence[str]) -> dict[str, Spectrum]:
    found: dict[str, Spectrum] = {}
    for name in names:
        change = whole_change(engine.base, delta, name)
        made = None if change is None else spectrum(change)
        if made is not None:
            found[name] = made
    return found


def _blocks(engine: Inside, distance: Distance, spectra: Mapping[str, Spectrum]) -> tuple[BlockMoved, ...]:
    label = block_labels(engine.base.names)
    inside: dict[str, list[Spectrum]] = {}
    for name, made in spectra.items():
        inside.setdefault(label(name), []).append(made)
    return tuple(
        BlockMoved(
            name=moved.name,
            relative=moved.relative,
            share=moved.share,
            stable_rank=_mean_rank(inside.get(moved.name, ())),
            spectrum=_mean_spectrum(inside.get(moved.name, ())),
        )
        for moved in distance.blocks
    )


def _mean_rank(spectra: Iterable[Spectrum]) -> float | None:
    held = [(made.norm**2, made.stable_rank) for made in spectra]
    return sum(weight * rank for weight, rank in held) / sum(weight for weight, _ in held) if held else None


def _mean_spectrum(spectra: Sequence[Spectrum]) -> tuple[float, ...]:
    total = sum(made.norm**2 for made in spectra)
    if not total:
        return ()
    most = min(LEADING, max(len(made.leading) for made in spectra))
    rows = [np.pad(np.asarray(made.leading), (0, most - len(made.leading)))[:most] / made.norm for made in spectra]
    mean = sum(made.norm**2 / total * row for made, row in zip(spectra, rows, strict=True))
    return tuple(float(value) for value in np.asarray(mean))


def _answered(engine: Inside, spec: DirectionSpec, read: _Read) -> tuple[Opening, float | None]:
    """The first token after each prompt under TUNED, and what is left of the gap along the refusal direction."""
    assert isinstance(engine, Engine)
    engine.move_to(Point.at((spec, 1.0)))
    with engine.lend() as (model, _):
        seen = {kind: read_prompts(model, rows) for kind, rows in read.tokens.items()}
    moved = {kind: divergence(read.opening[kind], now.words) for kind, now in seen.items()}
    opening = Opening(
        harmful=moved["harmful"], benign=moved["benign"],
        n_harmful=len(read.tokens["harmful"]), n_benign=len(read.tokens["benign"]),
    )  # fmt: skip
    if read.axis is None or read.gap == 0:
        return opening, None
    return opening, gap(read.axis, seen["harmful"].states, seen["benign"].states) / read.gap
