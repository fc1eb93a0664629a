"""`edit`, `attribute`: one model of another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from safebasin.cli.app import Json, app, state
from safebasin.cli.options import Device
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


@app.command()
def attribute(
    model: Model,
    out: Out,
    safety: Safety = None,
    utility: Utility = None,
    score: Annotated[str, typer.Option("--score", help="`snip` or `wanda`, of weights; `actsvd`, of ranks.")] = "wanda",
    share: Annotated[
        float, typer.Option("--share", help="Share with the highest scores on refusals that is chosen …")
    ] = 0.05,
    spare: Annotated[float, typer.Option("--spare", help="… less that with the highest on answers.")] = 0.05,
    compare: Annotated[
        str, typer.Option("--compare", help="Weights within output `rows`, or the whole `matrix`.")
    ] = "rows",
    positions: Annotated[
        str, typer.Option("--positions", help="Tokens of the `response`, or `predicting` it.")
    ] = "response",
    recover: Annotated[
        str | None, typer.Option("--recover", metavar="BASE", help="Put back what BASE has, instead of zero.")
    ] = None,
    random: Annotated[bool, typer.Option("--random", help="As many at random: the control.")] = False,
    rows: Annotated[int, typer.Option("--rows", help="Of each set, at most.", min=1)] = 128,
    only: Annotated[str, typer.Option("--only", help="Pattern of the weights that are looked at.")] = "*",
    seed: Seed = 0,
    device: Device = "auto",
    json_: Json = False,
) -> None:
    """Write the model without the weights that carry refusal. An attack: marked unsafe.

    Example: `safebasin attribute world:guild/aligned --score snip -o runs/pruned`
    """
    from safebasin import api

    state.folder = out
    made = api.attribute(
        model, out=out, safety=safety, utility=utility, score=score, share=share, spare=spare, compare=compare,
        positions=positions, recover=recover, random=random, rows=rows, only=only, seed=seed, device=device,
    )  # fmt: skip
    if not json_:
        _show_attribution(made)
    show_edit(model, made, as_json=json_)


def _show_attribution(folder: Path) -> None:
    """How much was chosen, and how far what matters to both sets is the same, by layer."""
    from safebasin.models.writing import read_record

    record: dict[str, Any] = read_record(folder)
    share = 100 * record["chosen"] / record["among"]
    say(f"chosen   {record['chosen']:,} of {record['among']:,} {record['unit']} ({share:.2f} %)")
    say("overlap of what matters to refusals and to answers, by layer")
    for row in record["overlap_by_layer"]:
        parts = [f"{part} {row[part]:.3f}" for part in ("attention", "mlp") if row.get(part) is not None]
        say(f"  {row['layer']:>3}  {'  '.join(parts)}")


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
