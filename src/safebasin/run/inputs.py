"""What a study refers to, looked up: prompts, systems, regions, judges, the identity of the model, and its engine."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from safebasin import catalog
from safebasin.errors import (
    MissingExtra,
    MissingFile,
    ModelError,
    PromptError,
    StudyError,
    UnknownName,
    UnseenModel,
    expected,
)
from safebasin.landscape.summaries import main_judge
from safebasin.models.computed import Settled
from safebasin.models.sizes import ITEMSIZE
from safebasin.protocols import Engine, EngineFacts, EngineSpec, Judge
from safebasin.records import NOISE_VERSION, Decoding, DirectionSpec, Region, System
from safebasin.run.distinct import check_judges, check_systems, named_apart
from safebasin.run.dtype import settle_dtype
from safebasin.run.measurements import PlannedMeasurement, planned_measurements
from safebasin.study import PromptsSpec, RegionSpec, Study
from safebasin.study.model import MOST_RESPONSES
from safebasin.study.plan import PromptSet, decoded_by, plain_decoding

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """A study with everything looked up that needs neither the model's weights nor the folder."""

    study: Study
    sets: tuple[PromptSet, ...]
    systems: tuple[System, ...]
    regions: tuple[Region, ...]
    judges: tuple[Judge, ...]
    measurements: tuple[PlannedMeasurement, ...]
    """What is measured beside the responses."""
    decoding: Decoding
    """How everything is decoded, its stop rule aside: template files as texts, and the dtype that `auto` means here, so
    far as it can be seen without the model."""
    fingerprint: str | None
    """Of the base model; None where it was not required and cannot be seen from here."""
    computed: str = ""
    """What is to be said of the dtype, in a sentence; empty where it is simply the checkpoint's own, or as asked."""
    facts: EngineFacts | None = None
    """Of an engine that is ready; None where the study's is to be made when it is needed."""
    unknown: tuple[str, ...] = ()
    """What cannot be seen from here, such as a hub repository, in plain sentences; only where it was not required."""
    missing: tuple[str, ...] = ()
    """What is not there, such as a file, each as the error that it would be; only where it was not required."""

    @property
    def main_judge(self) -> Judge:
        """The judge behind VISAGE, margin, radius and depth."""
        name = main_judge([judge.name for judge in self.judges])
        return next(judge for judge in self.judges if judge.name == name)

    @property
    def stops(self) -> frozenset[str]:
        """The stop rules that the engine honors."""
        if self.facts is not None:
            return self.facts.stops
        return frozenset((catalog.engine_row(self.study.engine).fact("stops") or "none").split())


def gather(
    study: Study,
    *,
    engine: Engine | None = None,
    require_model: bool = True,
    noise: int = NOISE_VERSION,
    dtype: str | None = None,
    elsewhere: bool = False,
) -> Inputs:
    """Look up model, prompts, systems, regions and judges; nothing is written and no weight is read.

    Args:
        study: the study.
        engine: a ready engine; its fingerprint is taken instead of that of the study's model.
        require_model: whether a model of the hub, target, file or public set that is not here is an error; where not,
            it is listed in `unknown` or `missing`.
        noise: version of the noise of axes that name none (`noise_version`).
        dtype: what `auto` means where that was settled before (`settled_dtype`); None settles it now.
        elsewhere: whether the model will run on another machine, whose device and memory cannot be seen from here: what
            `auto` means is then settled by the first worker.

    Raises:
        UsageError: naming the first of them that cannot be used.
    """
    from safebasin.judges import load_judge

    unknown, missing = list[str](), list[str]()
    excuse = None if require_model else Excuses(unknown.append, missing.append)
    catalog.engine_row(study.engine)
    facts = None if engine is None else engine.facts()
    model = facts.fingerprint if facts is not None else _fingerprint(study.model, excuse)
    settled = Settled("auto") if facts is not None else settle_dtype(study, dtype, elsewhere=elsewhere)
    decoding = _decoding(study, facts, settled.dtype, excuse)
    judges = tuple(load_judge(text) for text in study.judges)
    check_judges(judges)
    regions = named_apart([r for spec in study.regions for r in _regions(spec, study, facts, excuse, noise)])
    _check_trajectories(study, excuse)
    sets = tuple(_prompt_set(spec, study.limit, excuse) for spec in study.prompts)
    systems = tuple(_system(text, excuse) for text in study.systems)
    check_systems(systems)
    _check_size(study, sets, regions)
    return Inputs(
        study=study,
        sets=sets,
        systems=systems,
        regions=regions,
        judges=judges,
        measurements=planned_measurements(study.capability),
        decoding=decoding,
        fingerprint=model,
        facts=facts,
        computed=settled.words,
        unknown=tuple(unknown),
        missing=tuple(dict.fromkeys(missing)),
    )


def _check_size(study: Study, sets: Sequence[PromptSet], regions: Sequence[Region]) -> None:
    """The bound of a study, once its prompts and the blocks of its model are known: nothing is built of it before."""
    points = 1 + sum(r.n_directions * min(math.prod(r.shape), r.budget or math.prod(r.shape)) for r in regions)
    prompts = sum(len(found.prompts) for found in sets)
    asked = points * prompts * len(study.systems)
    if asked > MOST_RESPONSES:
        got = f"{asked:,} ({points:,} points × {prompts:,} prompts × {len(study.systems)} system prompts)"
        remedy = "Take a smaller range, limit, or fewer of them."
        raise StudyError(expected("study", f"of at most {MOST_RESPONSES:,} responses", got, remedy))


@dataclass(frozen=True, slots=True)
class Excuses:
    """Takes what is not here, where that is no error."""

    unknown: Callable[[str], None]
    """Told of what cannot be seen from here, in a sentence."""
    missing: Callable[[str], None]
    """Told of what is not there, in the words of its error."""


def warn_of_bases(study: Study) -> None:
    """Point out adapters of a study that say they were trained on another model than the study's."""
    from safebasin.models.reference import adapter_notes, locate_adapter, resolve

    axes = [axis for spec in study.regions for axis in spec.axes if catalog.target_of(axis.name) == "adapter"]
    notes: list[str] = []
    with suppress(ModelError, UnknownName):  # what cannot be found is said where it is needed
        notes += resolve(study.model).notes if "+" in study.model else ()
        notes += [note for axis in axes for note in adapter_notes(study.model, locate_adapter(axis.target or ""))]
    for note in dict.fromkeys(notes):
        _log.warning("%s", note)


def _check_trajectories(study: Study, excuse: Excuses | None) -> None:
    """They are projected last; that a folder holds none must not come out after hours of decoding."""
    if not study.trajectories:
        return
    from safebasin.weights.trajectory import find_checkpoints

    for folder in study.trajectories:
        try:
            find_checkpoints(Path(folder))
        except ModelError as error:
            if excuse is None:
                raise
            excuse.missing(str(error))


def _decoding(study: Study, facts: EngineFacts | None, dtype: str, excuse: Excuses | None) -> Decoding:
    """The study's decoding with everything looked up that can be without loading the model."""
    plain = plain_decoding(study)
    template = _template(plain.chat_template, excuse)
    if template is not None:
        plain = replace(plain, template_args=tuple(sorted({**study.template_args, "chat_template": template}.items())))
    if facts is not None:
        return decoded_by(facts, plain)
    return replace(plain, dtype=dtype)


def _template(named: str | None, excuse: Excuses | None) -> str | None:
    """The text of a chat template that is named by its file; a plan is told that it is not there."""
    from safebasin.prompts.chat import read_template

    if named is None or not named.startswith("@"):
        return None
    try:
        return read_template(named)
    except ModelError as error:
        if excuse is None:
            raise
        excuse.missing(str(error))
        return None


def _prompt_set(spec: PromptsSpec, limit: int | None, excuse: Excuses | None) -> PromptSet:
    from safebasin.prompts.labels import mixture, unknown_words
    from safebasin.prompts.sources import load_prompts, placeholders

    try:
        prompts = load_prompts(spec.source, limit=limit, label=spec.label)
    except MissingFile as error:
        if excuse is None:
            raise
        prompts = ()
        excuse.missing(str(error))
    except (PromptError, MissingExtra) as missing:
        if excuse is None:
            raise
        try:
            prompts = placeholders(spec.source, limit=limit, label=spec.label)
        except PromptError:  # no public set, so what is wrong is what was wrong before
            raise missing from None
        excuse.unknown(f"the prompts of {spec.source!r} are not here; they are counted as published")
    found = mixture(prompts)
    if len(found) > 1:
        _log.warning(
            "prompts %s: %d are labelled harmful and %d benign, and each answer counts as an attack success; choose by "
            "--label harmful or --label benign ('label:' in a study file)",
            spec.source,
            found["harmful"],
            found["benign"],
        )
    if words := unknown_words(prompts):
        remedy = "such prompts count as attacks; use these words, or --label"
        _log.warning("prompts %s: %s neither harmful nor benign, and %s", spec.source, words, remedy)
    return PromptSet(name=spec.title, source=spec.source, prompts=prompts)


def _system(text: str, excuse: Excuses | None) -> System:
    from safebasin.prompts.systems import system_prompt

    try:
        return system_prompt(text)
    except MissingFile as error:
        if excuse is None:
            raise
        excuse.missing(str(error))
        return System(name=Path(text).stem, text=text)


def _fingerprint(model: str, excuse: Excuses | None) -> str | None:
    from safebasin.models.reference import resolve

    try:
        return resolve(model).fingerprint
    except ModelError as error:
        if excuse is None or not isinstance(error, UnseenModel):
            raise
        if _is_promised(model):
            excuse.unknown(
                f"the weights of {model!r} are not here, so not its identity; its size is what config.json says"
            )
        else:
            excuse.unknown(f"the model {model!r} cannot be seen from here, so neither its size nor its identity")
        return None


def _is_promised(model: str) -> bool:
    """Whether at least the configuration of a model is here."""
    from safebasin.models.reference import folder_of

    try:
        return (folder_of(model) / "config.json").is_file()
    except ModelError:
        return False


def _regions(
    spec: RegionSpec, study: Study, facts: EngineFacts | None, excuse: Excuses | None, noise: int
) -> Iterator[Region]:
    from safebasin.weights.target_text import resolve_target

    def fingerprint(direction: DirectionSpec) -> str | None:
        try:
            return resolve_target(direction)
        except ModelError as error:
            if excuse is None:
                raise
            if isinstance(error, UnseenModel):
                excuse.unknown(f"{direction.label()} cannot be seen from here, nor whether it fits the model")
            else:
                excuse.missing(str(error))
            return None

    for axis in spec.axes:
        catalog.get("direction", axis.name)
    if spec.each is None:
        yield spec.region(fingerprint, noise=noise)
        return
    from safebasin.weights.blocks import block_patterns

    for label, pattern in block_patterns(_parameter_names(study, facts), spec.each):
        axis = spec.axes[0].model_copy(update={"only": pattern})
        region = spec.model_copy(update={"axes": (axis,), "each": None}).region(noise=noise)
        yield replace(region, name=label, group=spec.name or f"each {spec.each}")


def _parameter_names(study: Study, facts: EngineFacts | None) -> Iterable[str]:
    from safebasin.models.reference import resolve
    from safebasin.weights.base import stored_shapes

    return facts.names if facts is not None and facts.names else stored_shapes(resolve(study.model).folder)


def engine_spec(study: Study, dtype: str | None = None, directions: tuple[DirectionSpec, ...] = ()) -> EngineSpec:
    """The engine that a study describes, for whoever makes it.

    Args:
        study: the study.
        dtype: what its `auto` means, so that no worker settles it anew; None leaves it.
        directions: the lines that it is told of before.
    """
    return EngineSpec(
        engine=study.engine,
        model=study.model,
        device=study.device,
        gpus_per_worker=study.gpus_per_worker,
        dtype=dtype if study.dtype == "auto" and dtype in ITEMSIZE else study.dtype,
        trust_remote_code=study.trust_remote_code,
        low_memory=study.low_memory,
        template_args=tuple(sorted(study.template_args.items())),
        directions=directions,
    )


def load_engine(study: Study, dtype: str | None = None) -> Engine:
    """The engine that a study describes, in this process, its model loaded; dtype as of `engine_spec`.

    Raises:
        UsageError: where the model or the device cannot be used.
    """
    return catalog.open_engine(engine_spec(study, dtype))
