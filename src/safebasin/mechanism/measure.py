"""Both models of a pair looked at: the change between them, and what it does to harmful and to benign requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from safebasin import catalog
from safebasin.errors import ModelError, PromptError, StudyError, UsageError, expected
from safebasin.locate.role_prompts import load_roles, role_sources
from safebasin.locate.states import prompt_tokens, states_of
from safebasin.mechanism.inputs import Matrix, last_inputs, tall_matrices
from safebasin.mechanism.records import BENIGN, HARMFUL, LayerFound, MatrixFound, Mechanism, Sensitivity
from safebasin.mechanism.sensitivity import sensitivities
from safebasin.prompts.labels import Label
from safebasin.protocols import Delta, Engine, EngineSpec, Inside
from safebasin.records import Decoding, DirectionSpec, Estimate, Point, Prompt, System
from safebasin.stats.landscape import Array
from safebasin.stats.subspaces import Columns, columns, estimate_gap, estimate_mean, firing, separation
from safebasin.weights.distance import whole_change
from safebasin.weights.stream import prepare_one

__all__ = ["FEWEST", "MechanismRequest", "measure_mechanism"]

FEWEST = 10
"""Prompts of each kind below which a mean over them says nothing."""
KINDS: dict[str, Label] = {HARMFUL: "harmful", BENIGN: "benign"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MechanismRequest:
    """A measurement of mechanism as it is asked for: models, prompts, settings."""

    spec: EngineSpec
    """BASE: the model before safety training."""
    tuned: str
    """After: a model, or `adapter:PATH`."""
    control: str | None = None
    """A model that the same base was tuned to without safety training, written likewise."""
    sources: tuple[tuple[str, str], ...] = ()
    """`harmful` and `benign` → source of prompts; those of a world are the default for its models."""
    limit: int = 100
    """Prompts of each kind, at most."""
    no_gradients: bool = False
    """Whether sensitivity is left out."""
    system: System = field(default_factory=lambda: System(name="default"))
    seed: int = 0

    @property
    def direction(self) -> DirectionSpec:
        """The line from BASE to TUNED."""
        return _toward(self.tuned)


def _toward(model: str) -> DirectionSpec:
    kind, target = ("adapter", model.removeprefix("adapter:")) if model.startswith("adapter:") else ("to", model)
    return DirectionSpec(kind=kind, target=target, normalize="none")


def measure_mechanism(request: MechanismRequest, note: Callable[[str], None] = lambda text: None) -> Mechanism:
    """Look at a pair of models.

    Args:
        request: which, and on what.
        note: told in a sentence what is being done.

    Raises:
        ModelError: where a model cannot be used, the two do not fit, or their blocks cannot be told.
        PromptError: where there are too few prompts of a kind.
        StudyError: where a kind has no source, or the two models are the same.
    """
    prompts = _prompts(request)
    engine = catalog.open_engine(request.spec)
    if not isinstance(engine, Inside):
        raise UsageError(
            expected("the engine", "one whose model is in this process", engine.facts().engine, "Take hf.")
        )
    decoding = Decoding(template_args=request.spec.template_args)
    tokens = {kind: prompt_tokens(engine, some, request.system, decoding) for kind, some in prompts.items()}
    with engine.lend() as (model, _):
        matrices = tall_matrices(model)
    note(f"comparing {len(matrices)} matrices")
    changes = dict(_columns(engine, matrices, prepare_one(request.direction, engine.base)))
    if not any(changes.values()):
        remedy = "Name the model after safety training, or one whose matrices were trained."
        raise StudyError(expected("TUNED", "another model than BASE", request.tuned, remedy))
    control: Mapping[str, Columns | None] = {}
    if request.control is not None:
        note(f"comparing those of {request.control}")
        control = dict(_columns(engine, matrices, prepare_one(_toward(request.control), engine.base)))
    note("reading the prompts with BASE")
    before = _look(engine, Point(), (), tokens, no_gradients=request.no_gradients)
    note("reading the prompts with TUNED")
    after = _look(engine, Point.at((request.direction, 1.0)), matrices, tokens, no_gradients=request.no_gradients)
    engine.move_to(Point())
    return Mechanism(
        base=request.spec.model,
        tuned=request.tuned,
        control=request.control,
        fingerprint=engine.facts().fingerprint,
        n_layers=len(before.states[HARMFUL]),
        prompts={kind: f"{dict(_sources(request))[kind]}, {len(some)} prompts" for kind, some in prompts.items()},
        seed=request.seed,
        layers=_layers(before, after, request.seed),
        matrices=tuple(_matrices(engine, request, matrices, changes, control, after)),
        sensitivity=_sensitivity(before, after, request.seed),
    )


# --- prompts ---------------------------------------------------------------------------------------------------------


def _sources(request: MechanismRequest) -> dict[str, str]:
    return role_sources(request.spec.model, request.sources, KINDS)


def _prompts(request: MechanismRequest) -> dict[str, tuple[Prompt, ...]]:
    found = load_roles(_sources(request), KINDS, request.limit)
    for kind, some in found.items():
        if len(some) < FEWEST:
            remedy = "Give a longer file, or a higher --limit."
            raise PromptError(expected(f"{kind} prompts", f"at least {FEWEST}", len(some), remedy))
    return found


# --- weights ---------------------------------------------------------------------------------------------------------


def _columns(engine: Inside, matrices: Sequence[Matrix], delta: Delta) -> Iterator[tuple[str, Columns | None]]:
    for matrix in matrices:
        change = whole_change(engine.base, delta, matrix.name)
        if change is None:
            yield matrix.name, None
            continue
        base = engine.base.rows(matrix.name, 0, engine.base.shape(matrix.name)[0])
        yield matrix.name, columns(matrix.outputs_by_inputs(base), matrix.outputs_by_inputs(change))


def _matrices(
    engine: Inside, request: MechanismRequest, matrices: Sequence[Matrix], changes: Mapping[str, Columns | None],
    control: Mapping[str, Columns | None], after: _Looked,
) -> Iterator[MatrixFound]:  # fmt: skip
    delta = prepare_one(request.direction, engine.base)
    for matrix in matrices:
        change = whole_change(engine.base, delta, matrix.name)
        given = after.inputs[matrix.name]
        fired = {
            kind: np.zeros(len(rows)) if change is None else firing(matrix.outputs_by_inputs(change), rows)
            for kind, rows in given.items()
        }
        yield MatrixFound(
            name=matrix.name,
            layer=matrix.layer,
            columns=changes[matrix.name],
            control=control.get(matrix.name),
            firing=_sides(fired, request.seed),
            firing_gap=estimate_gap(fired[HARMFUL], fired[BENIGN], seed=request.seed),
        )


# --- states ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looked:
    """What the prompts of each kind are under some weights."""

    states: Mapping[str, Array]
    """After each layer, (layers, prompts, width)."""
    inputs: Mapping[str, Mapping[str, Array]]
    """Matrix → kind → what it is given, (prompts, inputs)."""
    slopes: Mapping[str, Array] | None
    """Sensitivity of each prompt; None where it is left out."""


def _look(
    engine: Engine, point: Point, matrices: Sequence[Matrix], tokens: Mapping[str, Sequence[Sequence[int]]], *,
    no_gradients: bool,
) -> _Looked:  # fmt: skip
    engine.move_to(point)
    assert isinstance(engine, Inside)
    with engine.lend() as (model, _):
        states = {kind: states_of(model, rows) for kind, rows in tokens.items()}
        inputs: dict[str, dict[str, Array]] = {matrix.name: {} for matrix in matrices}
        for kind, rows in tokens.items():
            for name, found in (last_inputs(model, matrices, rows) if matrices else {}).items():
                inputs[name][kind] = found
        slopes = None if no_gradients else {kind: sensitivities(model, rows) for kind, rows in tokens.items()}
    return _Looked(states=states, inputs=inputs, slopes=slopes)


def _layers(before: _Looked, after: _Looked, seed: int) -> tuple[LayerFound, ...]:
    n_layers = len(before.states[HARMFUL])
    if len(after.states[HARMFUL]) != n_layers:
        raise ModelError(expected("TUNED", f"a model of {n_layers} layers", len(after.states[HARMFUL]), "Check it."))
    parted = [(_parted(before.states, layer, seed), _parted(after.states, layer, seed)) for layer in range(n_layers)]
    return tuple(LayerFound(layer=layer, base=base, tuned=tuned) for layer, (base, tuned) in enumerate(parted))


def _parted(states: Mapping[str, Array], layer: int, seed: int) -> dict[str, Estimate]:
    harmful, benign = states[HARMFUL][layer], states[BENIGN][layer]
    is_harmful = np.arange(len(harmful) + len(benign)) < len(harmful)
    found = separation(np.concatenate([harmful, benign]), is_harmful, seed=seed)
    return _sides({BENIGN: found[~is_harmful], HARMFUL: found[is_harmful]}, seed)


def _sensitivity(before: _Looked, after: _Looked, seed: int) -> Sensitivity | None:
    if before.slopes is None or after.slopes is None:
        return None
    change = {kind: after.slopes[kind] - before.slopes[kind] for kind in KINDS}
    return Sensitivity(base=_sides(before.slopes, seed), tuned=_sides(after.slopes, seed), change=_sides(change, seed))


def _sides(values: Mapping[str, Array], seed: int) -> dict[str, Estimate]:
    return {kind: estimate_mean(values[kind], seed=seed) for kind in (BENIGN, HARMFUL)}
