"""The Typer application and the little that verbs share. Verbs register themselves on `app`."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer.core import TyperGroup

from safebasin.cli.output import note, say

ORDER = (
    *("map", "plan", "merge", "judge", "stats", "report", "export", "export-model", "compare", "agreement", "certify"),
    *(
        "audit",
        "screen",
        "sweep",
        "finetune",
        "defend",
        "defenses",
        "edit",
        "attribute",
        "locate-layers",
        "mechanism",
        "prefill",
        "worst-case",
    ),
    *("claims", "view", "verify", "pack", "init", "schema", "doctor", "list", "show", "world"),
)
"""The verbs as `--help` lists them: the main job first, then what works on its results, then the rest."""


class _Verbs(TyperGroup):
    def list_commands(self, ctx: typer.Context) -> list[str]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return sorted(self.commands, key=ORDER.index)


@dataclass
class _State:
    """What an error that ends the running verb needs to know of it."""

    folder: Path | None = None
    """Where the running verb works, for `error.log` after an internal error."""
    again: str = "run the same command again"
    """How a user goes on with a verb that was interrupted."""


state = _State()

app = typer.Typer(
    name="safebasin",
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,  # plain help: rich would cost half of the start-up budget of 0.3 s
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"safebasin {importlib.metadata.version('safebasin')}")
        raise typer.Exit


def show_help(context: typer.Context) -> None:
    """Show a group of verbs when none is named: its help, to stderr, and the exit code of a usage error."""
    if context.invoked_subcommand is None:
        note(context.get_help())
        raise typer.Exit(2)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Map the safety basin of a language model, and audit what fine-tuning does to it.

    Start with `safebasin map`: it needs no model and no network. Each verb has an example in its own `--help`.
    """
    show_help(context)


Track = Annotated[
    Literal["trackio", "wandb", "tensorboard", "mlflow"] | None,
    typer.Option(
        "--track", help="Tell an experiment tracker of the run: points and statistics, or losses. [default: none]"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print machine-readable results to stdout, and nothing else.")]
Folder = Annotated[Path, typer.Argument(help="Folder of a study, as `safebasin map -o` made it.", show_default=False)]
Backend = Annotated[
    str, typer.Option("--backend", help="Where engines run: `local`, `processes` or `ray` (`list backend`).")
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", help="How many engines run at once. [default: the backend's]", show_default=False),
]
