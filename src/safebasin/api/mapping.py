"""Mapping a basin: from arguments to a study, from a study to a landscape."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from safebasin.api.progress import Progress, shown
from safebasin.api.requests import checks_keywords
from safebasin.api.results import Compared, Mapped
from safebasin.api.stored import compare_studies, publish_study
from safebasin.errors import StudyError, expected
from safebasin.items import items, path_of, texts_of

if TYPE_CHECKING:
    from safebasin.run.preview import Planned
    from safebasin.study import Study, StudyFlags

__all__ = [
    "MappedModels",
    "default_folder",
    "make_studies",
    "make_study",
    "map_basin",
    "map_models",
    "map_shard",
    "merge_shards",
    "plan_study",
]

DEFAULT_MODEL = "world:guild/aligned"


@checks_keywords
def make_study(model: str | None = None, *, file: str | Path | None = None, **flags: Unpack[StudyFlags]) -> Study:
    """A study from a model, a study file, or both, with the options of `safebasin map` as keywords.

    Args:
        model: `path[@revision][#part][+adapter]` or `world:NAME/CHECKPOINT`; the embedded aligned model if none.
        file: a study file; options given here win over what it says.
        **flags: the options of `safebasin map`, or the keys of a study file: see `safebasin.study.StudyFlags`. One item
            needs no list: `prompts="advbench"`.

    Raises:
        StudyError: naming the first option that does not hold.
    """
    from safebasin import study as studies

    return _make(model, flags, studies.load_fields(Path(file)) if file is not None else {})


@checks_keywords
def make_studies(
    models: Sequence[str], *, file: str | Path | None = None, **flags: Unpack[StudyFlags]
) -> tuple[Study, ...]:
    """One study a model, alike in all else.

    Args:
        models: each as in `make_study`.
        file: a study file for all of them; what it says of models is left to the caller.
        **flags: as of `make_study`.

    Raises:
        StudyError: as `make_study`.
    """
    from safebasin import study as studies

    fields = {} if file is None else studies.load_fields(Path(file))
    named = texts_of(models, "model")
    return tuple(_make(model, flags, {k: v for k, v in fields.items() if k != "models"}) for model in named)


def _make(model: str | None, flags: StudyFlags, fields: Mapping[str, object] | None = None) -> Study:
    from safebasin import study as studies

    names = texts_of(model, "model")
    if model is not None and len(names) != 1:
        raise StudyError(expected("model", "one", list(names), "Several are mapped by map_models."))
    named = {"model": names[0]} if names else {}
    merged = {"model": DEFAULT_MODEL, **(fields or {}), **named}
    given = [name for name, value in flags.items() if value is not None]
    return studies.make(studies.with_flags(merged, flags), options=given)


@checks_keywords
def map_basin(
    model: str | Study | None = None,
    *,
    out: str | Path | None = None,
    backend: str = "local",
    workers: int | None = None,
    progress: Progress = True,
    regenerate: bool = False,
    with_text: bool = False,
    study_text: str | None = None,
    track: str | None = None,
    **flags: Unpack[StudyFlags],
) -> Mapped:
    """Map the safety basin of a model: measure what is missing, then write landscape, figures and report.

    Args:
        model: a model, or a ready `Study`; the embedded aligned model if None.
        out: folder of the study, made if needed; `runs/NAME` if None. The same folder again resumes or extends it.
        backend: where engines run, by name: `local`, in this process; `processes`, in several on this machine. What is
            measured is the same.
        workers: how many engines, where a backend has several; None is its own choice.
        progress: a hook, called after every batch; True shows a bar on a terminal or in a
            notebook, False nothing.
        regenerate: decode again what an earlier stop rule cut short and a judge could not decide.
        with_text: put response texts that redaction would withhold into the report.
        study_text: the study file as the user wrote it, to be kept verbatim.
        track: tracker that is told of it: `trackio`, `wandb`, `tensorboard` or `mlflow`.
        **flags: see `make_study`; not together with a ready `Study`, but for `engine`, which may be a ready `Engine`
            instead of the one that the study describes.

    Raises:
        UsageError: for what can be mended; everything measured so far stays in the folder.
    """
    from safebasin import study as studies
    from safebasin.interop.tracking import tracked
    from safebasin.run.execute import measure
    from safebasin.run.inputs import warn_of_bases

    named = flags.get("engine")
    engine = None if named is None or isinstance(named, str) else named
    if engine is not None:
        del flags["engine"]
    if isinstance(model, studies.Study) and flags:
        name, value = next(iter(flags.items()))
        raise StudyError(
            expected(name, "left out beside a ready study", value, "Put it into the study: make_study(…).")
        )
    study = model if isinstance(model, studies.Study) else _make(model, flags)
    warn_of_bases(study)
    folder = path_of(out, "out") if out is not None else default_folder(study.model)
    with ExitStack() as held, tracked(track, folder, _settings(study)) as run, shown(progress) as hook:
        measure(
            study,
            folder,
            engine=engine,
            backend=backend,
            workers=workers,
            progress=run.hook(hook),
            regenerate=regenerate,
            study_text=study_text,
            held=held,
        )
        mapped = publish_study(folder, with_text=with_text)
        run.landscape(mapped.landscape)
    return mapped


def _settings(study: Study) -> dict[str, object]:
    """What a tracker shows beside a run."""
    prompts = ", ".join(spec.name or spec.source for spec in study.prompts)
    return {"model": study.model, "study": study.hash, "prompts": prompts, "judges": ", ".join(study.judges)}


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedModels:
    """Several models that were mapped alike."""

    compared: Compared
    mapped: tuple[Mapped, ...]
    """In the order given."""


@checks_keywords
def map_models(
    models: Sequence[str],
    *,
    out: str | Path,
    file: str | Path | None = None,
    backend: str = "local",
    workers: int | None = None,
    progress: Progress = True,
    regenerate: bool = False,
    with_text: bool = False,
    track: str | None = None,
    **flags: Unpack[StudyFlags],
) -> MappedModels:
    """Map several models alike, one after another, and compare them: one figure, one ranking.

    Args:
        models: two or more, as in `make_study`.
        out: folder of the comparison; the study of each is in `models/NAME`. The same folder again resumes.
        file: as of `make_studies`.
        backend: as of `map_basin`.
        workers: as of `map_basin`.
        progress: as of `map_basin`.
        regenerate: as of `map_basin`.
        with_text: as of `map_basin`.
        track: as of `map_basin`, told of each model as a run of its own.
        **flags: as of `make_study`.

    Raises:
        UsageError: for what can be mended; everything measured so far stays in the folder.
    """
    from safebasin.writing import KINDS, target_folder

    target_folder(path_of(out, "out"), KINDS["a comparison"], what="output (-o)")
    studies = make_studies(models, file=file, **flags)  # what is wrong with one is said before any is mapped
    folders = model_folders(texts_of(models, "model"), out)
    mapped = tuple(
        map_basin(
            study,
            out=folder,
            backend=backend,
            workers=workers,
            progress=progress,
            regenerate=regenerate,
            with_text=with_text,
            track=track,
        )
        for study, folder in zip(studies, folders, strict=True)
    )
    return MappedModels(compared=compare_studies(folders, out=out), mapped=mapped)


def model_folders(models: Sequence[str], out: str | Path) -> list[Path]:
    """The folder of each of several models that are mapped into one: `OUT/models/NAME`."""
    from safebasin.audit.fleet import fleet_names

    return [path_of(out, "out") / "models" / name for name in fleet_names(models)]


@checks_keywords
def map_shard(
    study: Study,
    shard: str,
    *,
    out: str | Path | None = None,
    backend: str = "local",
    workers: int | None = None,
    progress: Progress = True,
    regenerate: bool = False,
    study_text: str | None = None,
) -> Path:
    """Measure one shard of a study in a folder of its own; returns the folder. `merge_shards` joins all of them.

    Args:
        study: the same for every shard, with a number for its `batch_size`.
        shard: `I/N`, the I-th of N, from 1.
        out: folder of the shard, made if needed; `runs/NAME-shard-I-of-N` if None. The same folder again resumes.
        backend: as of `map_basin`.
        workers: as of `map_basin`.
        progress: a hook, called after every batch; True shows a bar on a terminal or in a
            notebook, False nothing.
        regenerate: as of `map_basin`.
        study_text: the study file as the user wrote it, to be kept verbatim.

    Raises:
        UsageError: for what can be mended; everything measured so far stays in the folder.
    """
    from safebasin.run.execute import measure
    from safebasin.run.inputs import warn_of_bases
    from safebasin.store.sealing import seal
    from safebasin.study.shards import parse_shard

    part = parse_shard(shard)
    warn_of_bases(study)
    with ExitStack() as held, shown(progress) as hook:
        folder = measure(
            study,
            path_of(out, "out") if out is not None else default_folder(study.model, shard),
            backend=backend,
            workers=workers,
            progress=hook,
            regenerate=regenerate,
            study_text=study_text,
            shard=part,
            held=held,
        )
        seal(folder)
    return folder


@checks_keywords
def merge_shards(
    folders: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    progress: Progress = True,
    with_text: bool = False,
) -> Mapped:
    """Join the folders of all shards of a study, and write landscape, figures and report.

    Args:
        folders: of every shard, in any order. They stay as they are.
        out: folder of the whole study, made if needed; without responses.
        progress: as of `map_basin`.
        with_text: put response texts that redaction would withhold into the report.

    Raises:
        UsageError: where a shard is missing or not done, or two do not belong together.
    """
    from safebasin.run.sharding import merge

    with ExitStack() as held, shown(progress) as hook:
        made = merge([path_of(folder) for folder in items(folders)], path_of(out, "out"), progress=hook, held=held)
        return publish_study(made, with_text=with_text)


@checks_keywords
def default_folder(model: str, shard: str | None = None) -> Path:
    """`runs/NAME`, the name made of the model's own; of a shard `I/N` of its study `runs/NAME-shard-I-of-N`."""
    if shard is not None:
        model = f"{model}-shard-{shard.strip().replace('/', '-of-')}"
    return Path("runs") / (re.sub(r"[^A-Za-z0-9._-]+", "-", model.removeprefix("world:")).strip("-.") or "study")


@checks_keywords
def plan_study(
    study: Study,
    *,
    out: str | Path | None = None,
    price: bool = True,
    accelerators: str | Sequence[str] = (),
    price_per_hour: float | None = None,
    probe: bool = False,
) -> Planned:
    """Tell what a study would run, what of it is done and what the rest costs; reads the folder, writes nothing.

    No model is loaded, but for a probe.

    Args:
        study: the study.
        out: its folder; `runs/NAME` if None.
        price: whether to reckon tokens, memory, hours and cost.
        accelerators: names of those to reckon for; none is all that the table has.
        price_per_hour: of the one accelerator that is named, or of this machine where none is and it is probed.
        probe: whether to load the model and measure this machine for ten seconds.

    Raises:
        UsageError: where the study does not hold together, an accelerator is not known, or the model cannot be probed.
    """
    from safebasin.run.inputs import warn_of_bases
    from safebasin.run.preview import preview
    from safebasin.run.pricing.estimate import Asking

    warn_of_bases(study)
    asking = Asking(accelerators=items(accelerators), price_per_hour=price_per_hour, probe=probe) if price else None
    return preview(study, path_of(out, "out") if out is not None else default_folder(study.model), asking)
