"""`world`: the worlds, embedded and built."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from safebasin.cli.app import Json, app, show_help
from safebasin.cli.output import note, print_json, say

world = typer.Typer()
app.add_typer(world, name="world")
World = Annotated[str, typer.Option("--world", help="Name of the world.")]


@world.callback(invoke_without_command=True)
def root(context: typer.Context) -> None:
    """The worlds: their prompts and checkpoints."""
    show_help(context)


@world.command()
def info(name: World = "guild", json_: Json = False) -> None:
    """Show the prompt sets and checkpoints of a world.

    Example: `safebasin world info`
    """
    from safebasin import api

    found = api.world(name)
    if json_:
        print_json({"prompts": dict(found.prompt_sets), "checkpoints": dict(found.checkpoints)})
        return
    for title, entries in (("prompts", found.prompt_sets), ("checkpoints", found.checkpoints)):
        say(title)
        for key, summary in entries.items():
            say(f"  world:{name}/{key:<40} {summary}")


@world.command()
def prompts(
    set_name: Annotated[str, typer.Argument(metavar="SET", help="E.g. `harmful`.", show_default=False)],
    split: Annotated[str, typer.Option(help="`train`, `val` or `test`.")] = "test",
    limit: Annotated[int, typer.Option(help="At most this many.", min=1)] = 10,
    name: World = "guild",
) -> None:
    """Show prompts of a set. They are all harmless.

    Example: `safebasin world prompts benign --limit 5`
    """
    from safebasin import api

    for prompt in api.world(name).load_prompts(set_name, split)[:limit]:
        say(f"{prompt.id}  {prompt.text}")


@world.command()
def build(
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder. [default: runs/NAME]")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of data and training.")] = 0,
    name: World = "guild",
) -> None:
    """Make the checkpoints of a world, from a seed. Ended early, the same command goes on.

    Example: `safebasin world build --world kitchen`
    """
    from safebasin import api

    for path in api.build_world(name, out, seed=seed, note=lambda text: note(f"build    {text}")):
        say(f"wrote    {path}")
