"""`map` and `merge`: the main job, and its shards joined."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from safebasin.cli.app import Backend, Json, Track, Workers, app, state
from safebasin.cli.asking import Yes, ask_before_much
from safebasin.cli.options import StudyOptions, batch_size, with_study_options
from safebasin.cli.output import Progress, note, print_json, say
from safebasin.errors import StudyError, expected
from safebasin.untrusted import read_text

if TYPE_CHECKING:
    from safebasin.api import Mapped
    from safebasin.study import Study

LESS = "--range, --limit or --points auto"
"""What makes a study smaller."""


@app.command("map")
@with_study_options
def map_(
    options: StudyOptions,
    regenerate: Annotated[
        bool, typer.Option("--regenerate", help="Decode again what a stop rule cut and a judge could not decide.")
    ] = False,
    with_text: Annotated[bool, typer.Option("--with-text", help="Show texts in the report that are withheld.")] = False,
    backend: Backend = "local",
    workers: Workers = None,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            help="Measure only the I-th of N shares of the points, as I/N, in a folder of its own; `merge` joins them. "
            "Needs --batch-size.",
            show_default=False,
        ),
    ] = None,
    track: Track = None,
    yes: Yes = False,
    json_: Json = False,
) -> None:
    """Map a safety basin: landscape, statistics, report. The same command again resumes or extends the folder.

    Examples: `safebasin map` · `safebasin map org/model --prompts advbench -o runs/model` · `safebasin map study.yaml`
    · `safebasin map org/a org/b org/c --prompts advbench`
    · `safebasin map org/chat --prompts advbench --axis to:org/base --axis random --points auto`
    · `safebasin map org/model --prompts advbench --fast`
    """
    from safebasin import api

    if models := _models(options):
        how = {
            "backend": backend, "workers": workers, "regenerate": regenerate, "with_text": with_text, "track": track
        }  # fmt: skip
        _map_models(models, options, how, shard=shard, yes=yes, json_=json_)
        return
    study, study_text = study_of(options)
    _warn_of_directions(study)
    if not yes:
        ask_before_much(study, options.out, less=LESS)
    state.folder = options.out or api.default_folder(study.model, shard)
    progress = Progress(quiet=json_)
    if shard is not None:
        if with_text:
            remedy = "A shard has no report: safebasin report DIR --with-text, of the joined folder."
            raise StudyError(expected("--with-text", "left out where --shard is given", "both", remedy))
        if track is not None:
            remedy = "A shard has no statistics."
            raise StudyError(expected("--track", "left out where --shard is given", "both", remedy))
        try:
            folder = api.map_shard(
                study, shard, out=options.out, backend=backend, workers=workers, progress=progress,
                regenerate=regenerate, study_text=study_text,
            )  # fmt: skip
        finally:
            progress.close()
        _say_shard(shard, folder, json_=json_)
        return
    try:
        mapped = api.map_basin(
            study,
            out=options.out,
            backend=backend,
            workers=workers,
            progress=progress,
            regenerate=regenerate,
            with_text=with_text,
            study_text=study_text,
            track=track,
        )
    finally:
        progress.close()
    _show(mapped, json_=json_)


def _warn_of_directions(study: Study) -> None:
    """Say before anything is measured that two directions have no interval, and do not compare models."""
    from safebasin.stats import FEWEST_DIRECTIONS

    for region in study.regions:
        n = max((axis.directions for axis in region.axes if axis.is_drawn), default=0)
        if 1 < n < FEWEST_DIRECTIONS:
            note(
                f"note: {n} directions of {region.label!r} have no interval, and no model is compared by them; "
                f"--directions {FEWEST_DIRECTIONS} is the fewest that have."
            )


def _models(options: StudyOptions) -> list[str]:
    """The models that are to be mapped one after another and compared; none for a single one."""
    from safebasin import study as studies

    targets = options.targets
    if len(targets) == 1 and _is_file(targets[0]):
        return studies.models_of(studies.load_fields(Path(targets[0])))
    if len(targets) > 1 and any(map(_is_file, targets)):
        remedy = "Name the models in it: `models: [A, B]`; or map each file by itself."
        raise StudyError(expected("a study file", "the only argument", list(targets), remedy))
    return list(targets) if len(targets) > 1 else []


def _map_models(
    models: Sequence[str], options: StudyOptions, how: Mapping[str, Any], *, shard: str | None, yes: bool, json_: bool
) -> None:
    """Map several models and print their comparison."""
    from safebasin import api
    from safebasin.api.mapping import model_folders
    from safebasin.cli.research import show_ranking

    if shard is not None:
        raise StudyError(expected("--shard", "left out where several models are mapped", shard, "Map them one by one."))
    state.folder = out = options.out or Path("runs/comparison")
    file = Path(options.targets[0]) if _is_file(options.targets[0]) else None
    flags = _flags(options)
    studies = api.make_studies(models, file=file, **flags)
    _warn_of_directions(studies[0])
    if not yes:
        for study, folder in zip(studies, model_folders(models, out), strict=True):
            ask_before_much(study, folder, less=LESS)
    progress = Progress(quiet=json_)
    try:
        found = api.map_models(models, file=file, out=out, progress=progress, **how, **flags)
    finally:
        progress.close()
    show_ranking(found.compared, json_=json_)


def _show(mapped: Mapped, *, json_: bool) -> None:
    """The landscape on stdout, for a program or a person."""
    from safebasin.landscape.landscape_json import to_json
    from safebasin.report.terminal import terminal_curve

    if json_:
        print_json(json.loads(to_json(mapped.landscape)))
        return
    say(terminal_curve(mapped.landscape))
    say(f"report   {mapped.report}")


def _say_shard(shard: str, folder: Path, *, json_: bool) -> None:
    if json_:
        print_json({"shard": shard, "folder": str(folder)})
        return
    say(f"shard    {shard} is done: {folder}")
    say("next     safebasin merge DIR… -o OUT, with the folders of all shards")


@app.command()
def merge(
    folders: Annotated[list[Path], typer.Argument(help="Folders of all shards of a study.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the whole study.", show_default=False)],
    json_: Json = False,
) -> None:
    """Join the shards of a study into one folder.

    `map --shard I/N` makes them. They stay as they are.

    Example: `safebasin merge runs/shard-1 runs/shard-2 -o runs/whole`
    """
    from safebasin import api

    state.folder = out
    progress = Progress(quiet=json_)
    try:
        mapped = api.merge_shards(folders, out=out, progress=progress)
    finally:
        progress.close()
    _show(mapped, json_=json_)


def study_of(options: StudyOptions) -> tuple[Study, str | None]:
    """The study that the options describe, and the text of the study file if there is one and nothing overrides it."""
    from safebasin import api

    if len(options.targets) > 1:
        raise StudyError(expected("models", "one", list(options.targets), "Plan them one by one."))
    target, flags = next(iter(options.targets), None), _flags(options)
    is_file = target is not None and _is_file(target)
    study = api.make_study(None if is_file else target, file=target if is_file else None, **flags)
    overridden = any(value not in (None, [], {}) for value in flags.values())
    text = read_text(Path(str(target)), "study file").replace("\r\n", "\n") if is_file and not overridden else None
    return study, text


def _is_file(target: str) -> bool:
    return target.endswith((".yaml", ".yml"))


def _flags(options: StudyOptions) -> Any:
    """The options as the API takes them."""
    from safebasin import study as studies

    flags = dict(options.flags)
    flags["template_args"] = studies.template_arguments(flags["template_args"] or ())
    flags["batch_size"] = batch_size(flags["batch_size"])
    return flags
