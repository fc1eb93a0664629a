"""`mechanism`: what safety training changed, by the measures of Jain et al. 2024."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from safebasin.cli.app import Json, app, state
from safebasin.cli.options import BenignPrompts, Device, DType, HarmfulPrompts, RemoteCode, SystemPrompt, TemplateArgs
from safebasin.cli.output import note, print_json, say


@app.command()
def mechanism(
    base: Annotated[
        str, typer.Argument(help="The model before safety training, as for `map`. Without it: the embedded one.")
    ] = "world:guild/base",
    tuned: Annotated[str, typer.Argument(help="After: a model, or `adapter:PATH`.")] = "world:guild/aligned",
    control: Annotated[
        str | None, typer.Option("--control", help="BASE tuned without safety training; its change stands beside.")
    ] = None,
    harmful: HarmfulPrompts = None,
    benign: BenignPrompts = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of figure and page.")] = Path("runs/mechanism"),
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most this many prompts of each kind.")] = 100,
    no_gradients: Annotated[
        bool, typer.Option("--no-gradients", help="Leave local sensitivity out: it takes a backward pass a prompt.")
    ] = False,
    system: SystemPrompt = "default",
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**31, help="Of halves and resampling.")] = 0,
    device: Device = "auto",
    dtype: DType = "auto",
    template_arg: TemplateArgs = None,
    trust_remote_code: RemoteCode = False,
    json_: Json = False,
) -> None:
    """Show what safety training changed in a model.

    Where its change lies, what it answers to, and how requests part by layer.

    Examples: `safebasin mechanism` · `safebasin mechanism org/base org/chat --harmful advbench --benign benign.csv`
    """
    from safebasin import api
    from safebasin import study as studies
    from safebasin.api.mechanism import mechanism_document
    from safebasin.report.mechanism import mechanism_words

    state.folder = out
    found = api.measure_mechanism(
        base, tuned, control=control, harmful=harmful, benign=benign, out=out, limit=limit,
        gradients=not no_gradients, system=system, seed=seed, device=device, dtype=dtype,
        template_args=studies.template_arguments(template_arg or ()), trust_remote_code=trust_remote_code,
        note=(lambda text: None) if json_ else note,
    )  # fmt: skip
    document = mechanism_document(found)
    if json_:
        print_json(document)
        return
    for said in mechanism_words(document):
        say(said)
    say(f"report   {out / 'report.html'}")
