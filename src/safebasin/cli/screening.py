"""`screen`: a look at tuned models before an audit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from safebasin.cli.app import Json, app, state
from safebasin.cli.options import (
    BenignPrompts,
    Device,
    DType,
    Fleet,
    HarmfulPrompts,
    RemoteCode,
    SystemPrompt,
    TemplateArgs,
    TunedModels,
    check_tuned,
)
from safebasin.cli.output import note, print_json, say


@app.command()
def screen(
    base: Annotated[str, typer.Argument(metavar="BASE", help="The aligned model, as for `map`.")],
    tuned: TunedModels = None,
    fleet: Fleet = None,
    before: Annotated[
        str | None,
        typer.Option("--before", metavar="MODEL", help="The model that BASE was aligned from.", show_default=False),
    ] = None,
    harmful: HarmfulPrompts = None,
    benign: BenignPrompts = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of figure and page.")] = Path("runs/screen"),
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most this many prompts of each kind.")] = 32,
    system: SystemPrompt = "default",
    device: Device = "auto",
    dtype: DType = "auto",
    template_arg: TemplateArgs = None,
    trust_remote_code: RemoteCode = False,
    json_: Json = False,
) -> None:
    """Say in seconds which tuned model to audit first.

    No verdict, and nothing is generated: weights are compared, and prompts read for the first token of an answer.

    Examples: `safebasin screen org/chat ./tuned --before org/base --harmful advbench --benign benign.csv`
    · `safebasin screen world:guild/aligned --fleet ./checkpoints -o runs/screen`
    """
    from safebasin import api
    from safebasin import study as studies
    from safebasin.api.screening import screen_document
    from safebasin.audit import find_fleet
    from safebasin.report.screen import screen_words

    check_tuned(tuned, fleet)
    state.folder = out
    found = api.screen_models(
        base, tuned or find_fleet(fleet or Path()), before=before, harmful=harmful, benign=benign, out=out, limit=limit,
        system=system, device=device, dtype=dtype, template_args=studies.template_arguments(template_arg or ()),
        trust_remote_code=trust_remote_code, note=(lambda text: None) if json_ else note,
    )  # fmt: skip
    document = screen_document(found)
    if json_:
        print_json(document)
        return
    for said in screen_words(document):
        say(said)
    say(f"report   {out / 'report.html'}")
