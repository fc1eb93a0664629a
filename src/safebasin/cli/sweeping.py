"""`sweep`: many tuned models of one base in one study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from safebasin.cli.app import Backend, Json, Workers, app, state
from safebasin.cli.asking import Yes, ask_before_much
from safebasin.cli.options import Flags, Fleet, TunedModels, batch_size, check_tuned, with_flags
from safebasin.cli.output import Progress, print_json, say
from safebasin.study.options import StudyFlags


@app.command()
@with_flags(
    StudyFlags, "prompts", "label", "limit", "systems", "judges", "defenses", "range", "max_new_tokens", "stop",
    "template_args", "dtype", "batch_size", "engine", "device", "gpus_per_worker", "low_memory", "trust_remote_code",
    helps={
        "range": "Grid along the line to each model; it must hold 1. [default: α = 1 alone]",
        "judges": "Judge, by name (`list judge`). Repeatable. [default: refusal, outcome]",
    },
)  # fmt: skip
def sweep(
    options: Flags,
    base: Annotated[str, typer.Argument(metavar="BASE", help="The model before tuning, as for `map`.")],
    tuned: TunedModels = None,
    fleet: Fleet = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the study.")] = Path("runs/sweep"),
    backend: Backend = "local",
    workers: Workers = None,
    yes: Yes = False,
    json_: Json = False,
) -> None:
    """Ask many tuned models of one base the same.

    One study, one table, one figure; no gate: see `audit --fleet`. Each is asked at α = 1 of the line that leads to it;
    `--range 0:1:5` asks between, too. Judges are `refusal` and `outcome` where none is named.

    Examples: `safebasin sweep world:guild/aligned --fleet ./checkpoints` · `safebasin sweep org/chat ./a ./b --prompts
    advbench`
    """
    from safebasin import api
    from safebasin import study as studies
    from safebasin.api.sweeping import sweep_study
    from safebasin.audit import find_fleet
    from safebasin.landscape.sweep import sweep_document
    from safebasin.report.terminal import terminal_notes

    check_tuned(tuned, fleet)
    state.folder = out
    given = {key: value for key, value in options.items() if value is not None}
    given |= {"batch_size": batch_size(given.get("batch_size"))} if "batch_size" in given else {}
    if "template_args" in given:
        given["template_args"] = studies.template_arguments(given["template_args"])
    models = tuned or find_fleet(fleet or Path())
    if not yes:
        study, _ = sweep_study(base, models, **given)
        ask_before_much(study, out, less="--range or --limit, or fewer models")
    progress = Progress(quiet=json_)
    try:
        found = api.sweep_models(base, models, out=out, backend=backend, workers=workers,
                                 progress=progress, **given)  # fmt: skip
    finally:
        progress.close()
    if json_:
        print_json(sweep_document(found.sweep))
        return
    for said in found.words():
        say(said)
    for name, why in found.sweep.failed.items():
        say(f"{name}: not among them. {why}")
    for line in terminal_notes(found.sweep.notes):
        say(line)
    say(f"report   {found.report}")
