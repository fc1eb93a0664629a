"""What a study refers to, looked up: prompts, systems, regions, judges, the identity of the model, and its engine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from safebasin import catalog
from safebasin.errors import MissingExtra, MissingFile, ModelError, PromptError
from safebasin.protocols import Engine, Judge
from safebasin.records import DirectionSpec, Region, System
from safebasin.run.capability import Gauge, gauges
from safebasin.run.plan import PromptSet
from safebasin.run.results import main_judge
from safebasin.study import PromptsSpec, RegionSpec, Study

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """A study with everything looked up that needs neither the model's weights nor the folder."""

    study: Study
    sets: tuple[PromptSet, ...]
    systems: tuple[System, ...]
    regions: tuple[Region, ...]
    judges: tuple[Judge, ...]
    gauges: tuple[Gauge, ...]
    """What is measured beside the responses."""
    fingerprint: str | None
    """Of the base model; None where it was not required and cannot be seen from here."""
    unknown: tuple[str, ...] = ()
    """What could not be looked up and was not required, in plain sentences."""

    @property
    def main_judge(self) -> Judge:
        """The judge behind VISAGE, margin, radius and depth."""
        name = main_judge([judge.name for judge in self.judges])
        return next(judge for judge in self.judges if judge.name == name)


def gather(study: Study, *, engine: Engine | None = None, require_model: bool = True) -> Inputs:
    """Look up model, prompts, systems, regions and judges; nothing is written and no weight is read.

    Args:
        study: the study.
        engine: a ready engine; its fingerprint is taken instead of that of the study's model.
        require_model: whether a model, target, file or public set that cannot be seen from here is an error; where
            not, it is listed in `unknown`.

    Raises:
        UsageError: naming the first of them that cannot be used.
    """
    from safebasin.judges import load_judge

    unknown: list[str] = []
    excuse = None if require_model else unknown.append
    model = _fingerprint(study.model, engine, excuse)
    judges = tuple(load_judge(text) for text in study.judges)
    regions = tuple(region for spec in study.regions for region in _regions(spec, study, engine, excuse))
    _check_trajectories(study, excuse)
    return Inputs(
        study=study,
        sets=tuple(_prompt_set(spec, study.limit, excuse) for spec in study.prompts),
        systems=tuple(_system(text, excuse) for text in study.systems),
        regions=regions,
        judges=judges,
        gauges=gauges(study.capability),
        fingerprint=model,
        unknown=tuple(unknown),
    )


def _check_trajectories(study: Study, excuse: Excuse | None) -> None:
    """They are projected last; that a folder holds none must not come out after hours of decoding."""
    if not study.trajectories:
        return
    from safebasin.weights.trajectory import find_checkpoints

    for folder in study.trajectories:
        try:
            find_checkpoints(Path(folder))
        except ModelError:
            if excuse is None:
                raise
            excuse(f"the trajectory {folder!r} cannot be seen from here")


Excuse = Callable[[str], None]
"""Takes the sentence that says what cannot be seen from here; where there is none, that is an error."""


def _prompt_set(spec: PromptsSpec, limit: int | None, excuse: Excuse | None) -> PromptSet:
    from safebasin.prompts.labels import mixture
    from safebasin.prompts.sources import load_prompts, placeholders

    try:
        prompts = load_prompts(spec.source, limit=limit, label=spec.label)
    except MissingFile:
        if excuse is None:
            raise
        prompts = ()
        excuse(f"the prompts of {spec.source!r} are not here; they are not counted")
    except (PromptError, MissingExtra) as missing:
        if excuse is None:
            raise
        try:
            prompts = placeholders(spec.source, limit=limit, label=spec.label)
        except PromptError:  # no public set, so what is wrong is what was wrong before
            raise missing from None
        excuse(f"the prompts of {spec.source!r} are not here; they are counted as published")
    found = mixture(prompts)
    if len(found) > 1:
        _log.warning(
            "prompts %s: %d are labelled harmful and %d benign, and each answer counts as an attack success; choose by "
            "'label: harmful' or 'label: benign' in a study file",
            spec.source,
            found["harmful"],
            found["benign"],
        )
    return PromptSet(name=spec.title, source=spec.source, prompts=prompts)


def _system(text: str, excuse: Excuse | None) -> System:
    from safebasin.prompts.systems import system_prompt

    try:
        return system_prompt(text)
    except MissingFile:
        if excuse is None:
            raise
        excuse(f"the system prompt {text!r} is not here")
        return System(name=Path(text).stem, text=text)


def _fingerprint(model: str, engine: Engine | None, excuse: Excuse | None) -> str | None:
    from safebasin.weights.checkpoint import resolve

    if engine is not None:
        return str(engine.describe()["fingerprint"])
    try:
        return resolve(model).fingerprint
    except ModelError:
        if excuse is None:
            raise
        excuse(f"the model {model!r} cannot be seen from here, so neither its size nor its identity")
        return None


def _regions(spec: RegionSpec, study: Study, engine: Engine | None, excuse: Excuse | None) -> Iterator[Region]:
    from safebasin.weights.checkpoint import resolve_target

    def fingerprint(direction: DirectionSpec) -> str | None:
        try:
            return resolve_target(direction)
        except ModelError:
            if excuse is None:
                raise
            excuse(f"{direction.label()} cannot be seen from here, so it is not known whether it fits the model")
            return None

    for axis in spec.axes:
        catalog.get("direction", axis.kind)
    if spec.each is None:
        yield spec.region(fingerprint)
        return
    from safebasin.weights.blocks import block_patterns

    for label, pattern in block_patterns(_parameter_names(study, engine), spec.each):
        axis = spec.axes[0].model_copy(update={"only": pattern})
        region = spec.model_copy(update={"axes": (axis,), "each": None}).region()
        yield replace(region, name=label, group=spec.name or f"each {spec.each}")


def _parameter_names(study: Study, engine: Engine | None) -> Iterable[str]:
    from safebasin.weights.base import stored_shapes
    from safebasin.weights.checkpoint import resolve

    return engine.base.names if engine is not None else stored_shapes(resolve(study.model).folder)


def load_engine(study: Study) -> Engine:
    """The engine that a study describes, its model loaded.

    Raises:
        UsageError: where the model or the device cannot be used.
    """
    factory = cast("Callable[..., Engine]", catalog.get("engine", "hf").resolve())
    return factory(
        study.model,
        device=study.device,
        dtype=study.dtype,
        trust_remote_code=study.trust_remote_code,
        low_memory=study.low_memory,
        template_args=tuple(sorted(study.template_args.items())),
    )
