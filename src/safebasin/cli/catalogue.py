"""`list` and `show`: the catalogue."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from typing import Annotated

import typer

from safebasin.cli.app import Json, app
from safebasin.cli.output import note, print_json, say


@app.command("list")
def list_(
    kind: Annotated[
        str | None, typer.Argument(help="Kind, as the full list heads it, e.g. `judge`; or `plugin`.")
    ] = None,
    json_: Json = False,
) -> None:
    """List what there is to choose from. Judges, prompts, directions and more, and what plugins add.

    Example: `safebasin list judge`
    """
    from safebasin import catalog

    rows = catalog.of_kind(kind) if kind else catalog.rows()
    if json_:
        print_json([asdict(row) for row in rows])
        return
    if not rows:
        note("no package that adds to the catalogue is installed; docs/plugins.md says how to write one")
    width = max((len(row.name) for row in rows), default=0)
    shown = ""
    for row in sorted(rows, key=lambda row: row.kind):
        if row.kind != shown:
            say(f"{row.kind}")
            shown = row.kind
        say(f"  {row.name:<{width}}  {row.summary}")


@app.command()
def show(
    kind: Annotated[str, typer.Argument(help="Kind, as `safebasin list` heads it.", show_default=False)],
    name: Annotated[str, typer.Argument(help="Name, as `safebasin list` gives it.", show_default=False)],
    json_: Json = False,
) -> None:
    """Show one entry of the catalogue. What it is, where it comes from, what arguments it takes.

    Example: `safebasin show judge outcome`
    """
    from safebasin import catalog

    row = catalog.get(kind, name)
    if json_:
        print_json(asdict(row))
        return
    say(f"{row.kind} {row.name}\n\n{row.summary}\n")
    for key, value in (("source", row.source), ("target", row.target), *row.facts):
        say(f"{key:<10} {value}")
    target = row.resolve()
    if callable(target):
        arguments = [_written(p) for n, p in inspect.signature(target).parameters.items() if not n.startswith("_")]
        say(f"{'arguments':<10} {', '.join(arguments) or 'none'}")
    documentation = inspect.getdoc(target)
    if documentation:
        say(f"\n{documentation}")


def _written(parameter: inspect.Parameter) -> str:
    """An argument as a call of the catalogue writes it: `threshold=None`."""
    return parameter.name if parameter.default is parameter.empty else f"{parameter.name}={parameter.default!r}"
