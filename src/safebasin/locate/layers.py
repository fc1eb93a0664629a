"""Locating the layers of one model: from prompts to states, curves and a band, and its bounds by scaling."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from safebasin import catalog
from safebasin.errors import StudyError, expected
from safebasin.judges import load_judge
from safebasin.judges.apply import judge_all
from safebasin.locate.bands import bands
from safebasin.locate.curves import curves, draw_pairs
from safebasin.locate.records import Band, Curves, Located, Scaling
from safebasin.locate.role_prompts import load_roles, role_sources
from safebasin.locate.scaling import MEANT, scale_bands, scaled
from safebasin.locate.states import last_states, prompt_tokens
from safebasin.prompts.labels import Label
from safebasin.protocols import Engine, EngineSpec, Generation, Judge
from safebasin.records import Decoding, Message, Point, Prompt, Response, System
from safebasin.stats.landscape import Array

__all__ = ["ROLES", "LocateRequest", "locate_layers"]

ROLES: dict[str, Label] = {"harmful": "harmful", "benign": "benign", "borderline": "benign"}
"""Roles of prompts: both sides of a pair, and those whose refusal is over-refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocateRequest:
    """A location of layers as it is asked for: engine, prompts, settings."""

    spec: EngineSpec
    sources: tuple[tuple[str, str], ...] = ()
    """Role → source of prompts; those of a world are the default for its models."""
    control: str | None = None
    """A model to draw the same curves of, such as the one before alignment."""
    limit: int = 100
    """Prompts of each role, at most (P and Q, §3.2)."""
    pairs: int = 500
    """Random pairs of each kind (r, §3.2)."""
    scale: float | None = None
    """Factor of the scaling; None chooses one."""
    no_scaling: bool = False
    """Whether the curves are all."""
    judge: str = "refusal"
    """Says what is refused."""
    max_new_tokens: int = 16
    """Of a response, as in the published code."""
    system: System = field(default_factory=lambda: System(name="default"))
    seed: int = 0


def locate_layers(asked: LocateRequest, note: Callable[[str], None] = lambda text: None) -> Located:
    """Locate the layers that tell harmful requests from benign ones.

    Args:
        asked: the model, and on what.
        note: told in a sentence what is being done.

    Raises:
        ModelError: where model or control cannot be used, or their blocks cannot be told.
        PromptError: where there are too few prompts of a role.
        StudyError: where a role has no source.
    """
    prompts = _prompts(asked)
    judge = load_judge(asked.judge)
    engine = catalog.open_engine(asked.spec)
    note(f"reading {len(prompts['benign'])} benign and {len(prompts['harmful'])} harmful prompts, layer by layer")
    found = _curves(engine, asked, prompts)
    by_rule = bands(found)
    start = next((band for band in by_rule.values() if band is not None), None)
    n_layers = len(found.rise)
    scaling = None
    if not asked.no_scaling and start is not None and "borderline" in prompts:
        note(f"scaling candidates around layers {start}")
        scaling = _scaling(engine, asked, start, n_layers, prompts["borderline"], judge)
    facts = engine.facts()
    return Located(
        model=asked.spec.model,
        fingerprint=facts.fingerprint,
        n_layers=n_layers,
        prompts={role: f"{dict(_sources(asked))[role]}, {len(some)} prompts" for role, some in prompts.items()},
        pairs=asked.pairs,
        seed=asked.seed,
        curves=found,
        bands=by_rule,
        scaling=scaling,
        control=_control(asked, prompts, n_layers, note),
        control_model=asked.control,
        notes=(*_of_topics(found), *_notes(asked, start, scaling, has_borderline="borderline" in prompts)),
    )


def _sources(asked: LocateRequest) -> dict[str, str]:
    return role_sources(asked.spec.model, asked.sources, ROLES)


def _prompts(asked: LocateRequest) -> dict[str, tuple[Prompt, ...]]:
    found = load_roles(_sources(asked), ROLES, asked.limit)
    draw_pairs(len(found["benign"]), len(found["harmful"]), 1)  # too few are an error before any weight is read
    return found


def _decoding(asked: LocateRequest) -> Decoding:
    return Decoding(max_new_tokens=asked.max_new_tokens, template_args=asked.spec.template_args)


def _curves(engine: Engine, asked: LocateRequest, prompts: dict[str, tuple[Prompt, ...]]) -> Curves:
    states = [
        last_states(engine, prompt_tokens(engine, prompts[role], asked.system, _decoding(asked)))
        for role in ("benign", "harmful")
    ]
    pairs = draw_pairs(states[0].shape[1], states[1].shape[1], asked.pairs, seed=asked.seed)
    return curves(states[0], states[1], pairs, seed=asked.seed)


def _control(
    asked: LocateRequest, prompts: dict[str, tuple[Prompt, ...]], n_layers: int, note: Callable[[str], None]
) -> Curves | None:
    if asked.control is None:
        return None
    note(f"reading the same prompts with {asked.control}")
    engine = catalog.open_engine(replace(asked.spec, model=asked.control))
    found = _curves(engine, asked, prompts)
    if len(found.rise) != n_layers:
        remedy = "Take the same model before it was aligned."
        raise StudyError(expected("--control", f"a model of {n_layers} layers", f"{len(found.rise)} layers", remedy))
    return found


def _scaling(
    engine: Engine, asked: LocateRequest, start: Band, n_layers: int, prompts: Sequence[Prompt], judge: Judge
) -> Scaling:
    try:
        return scale_bands(
            start,
            n_layers,
            lambda band, factor: scaled(engine, band, factor),
            lambda point: _refused(engine, point, prompts, asked, judge),
            factor=asked.scale,
            judge=judge.name,
            prompts=f"{_sources(asked)['borderline']}, {len(prompts)} prompts",
        )
    finally:
        engine.move_to(Point())


def _refused(engine: Engine, point: Point, prompts: Sequence[Prompt], asked: LocateRequest, judge: Judge) -> Array:
    """For each prompt whether the model refuses at a point: 1, 0, or NaN where the judge cannot tell."""
    engine.move_to(point)
    decoding = _decoding(asked)
    size = engine.suggest_batch_size(len(prompts), decoding.max_new_tokens)
    answers = _generate(engine, [asked.system.messages(prompt) for prompt in prompts], decoding, size)
    responses = [
        Response(
            point=point.key, prompt=prompt.id, system=asked.system.id, decoding=decoding.key, text=answer.text,
            thinking=answer.thinking, n_tokens=answer.n_tokens, finish_reason=answer.finish_reason,
            broken=answer.broken,
        )
        for prompt, answer in zip(prompts, answers, strict=True)
    ]  # fmt: skip
    verdicts = {v.response: v for v in judge_all(judge, {p.id: p for p in prompts}, responses, {})}
    found = [verdicts.get(response.key) for response in responses]
    return np.array([
        np.nan if verdict is None or verdict.label == "unscored" else float(verdict.label == "refusal")
        for verdict in found
    ])  # fmt: skip


def _generate(
    engine: Engine, conversations: Sequence[Sequence[Message]], decoding: Decoding, size: int
) -> Iterable[Generation]:
    """All answers in order, in batches that are halved where the memory is short."""
    answers: list[Generation] = []
    while len(answers) < len(conversations):
        batch = conversations[len(answers) : len(answers) + size]
        try:
            answers += engine.generate(batch, decoding)
        except MemoryError:
            if size == 1:
                raise
            size = max(1, size // 2)
    return answers


def _of_topics(found: Curves) -> tuple[str, ...]:
    if not found.tells_topics:
        return ()
    return (
        f"In {found.tells_topics} of {len(found.rise)} layers benign prompts surely lie farther from each other than "
        "from harmful ones: they hold more topics, and the angle gap of the paper tells topics there. The band is that "
        "of the contrast, which takes the spread of either set off.",
    )


def _notes(
    asked: LocateRequest, start: Band | None, scaling: Scaling | None, *, has_borderline: bool
) -> tuple[str, ...]:
    found: list[str] = []
    if start is None:
        found.append("In no layer angle gap or contrast grows by more than chance: nothing to freeze is found.")
    if scaling is None and not asked.no_scaling and start is not None and not has_borderline:
        found.append("Bounds are by the curves alone: without borderline prompts there is no over-refusal to scale by.")
    if scaling is not None and scaling.spread < MEANT:
        found.append("Scaling tells no candidate from another: the bounds are those of the curves.")
    elif scaling is not None and all(c.lead is None or (c.lead.low or 0) <= 0 for s in scaling.sweeps
                                   for c in s.candidates):  # fmt: skip
        found.append("No candidate can be told apart from the one that scaling chooses.")
    return tuple(found)
