"""`edit`: makes one model of another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from safebasin.cli.app import Json, app, state
from safebasin.cli.output import print_json, say

Model = Annotated[str, typer.Argument(help="As for `map`.", show_default=False)]
Out = Annotated[Path, typer.Option("-o", "--out", help="New folder for the weights.", show_default=False)]
Safety = Annotated[
    str | None, typer.Option("--safety", help="Rows of refusals: a file, or world:NAME/safe. [default: the world's]")
]
Utility = Annotated[
    str | None, typer.Option("--utility", help="Rows of answers, as --safety. [default: those of the model's world]")
]
Seed = Annotated[int, typer.Option("--seed", min=0, max=2**31, help="Of what is drawn.")]
Device = Annotated[str, typer.Option("--device", help="As for `map`.")]


@app.command()
def edit(
    model: Model,
    name: Annotated[str, typer.Option("--edit", help="By name: safebasin list edit.", show_default=False)],
    out: Out,
    safety: Safety = None,
    utility: Utility = None,
    seed: Seed = 0,
    device: Device = "auto",
    json_: Json = False,
) -> None:
    """Make one model of another by an edit of the catalogue. What an attack makes is marked unsafe.

    Example: `safebasin edit world:guild/aligned --edit "worst_case(steps=20)" -o runs/worst`
    """
    from safebasin import api

    state.folder = out
    made = api.edit_model(model, edit=name, out=out, safety=safety, utility=utility, seed=seed, device=device)
    show_edit(model, made, as_json=json_)


def show_edit(model: str, folder: Path, *, as_json: bool) -> None:
    """Print where an edited model is, how it is marked, and how it is mapped."""
    from safebasin.models.writing import is_unsafe, read_record

    unsafe = is_unsafe(folder)
    kind = "adapter" if (folder / "adapter_config.json").is_file() else "to"
    if as_json:
        print_json({"model": str(folder), "unsafe": unsafe, "axis": f"{kind}:{folder}", "record": read_record(folder)})
        return
    say(f"{'unsafe' if unsafe else 'model':<8} {folder}")
    say(f"map it   safebasin map {model} --axis {kind}:{folder}")
