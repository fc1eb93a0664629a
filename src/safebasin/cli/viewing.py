"""`view`: stored folders in the browser, served on loopback or written as pages."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from safebasin.cli.app import app
from safebasin.cli.output import note, say
from safebasin.errors import UsageError, expected

BUNDLE = "bundle"
DEFAULT = Path("runs")


@app.command()
def view(
    folders: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[bundle] FOLDER",
            help="Folders whose studies, audits, comparisons and claims are shown. `bundle` first: write them as pages "
            "instead (a folder of that name is `./bundle`). [default: runs]",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="With `bundle`: the folder that is written.", show_default=False)
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", min=1, max=65535, help="Port on loopback. [default: a free one]", show_default=False),
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Print the address, and open no browser.")] = False,
    with_text: Annotated[bool, typer.Option("--with-text", help="Include texts that redaction withholds.")] = False,
) -> None:
    """Look at what is stored, in the browser. Lists, live reports, samples; on loopback, read only, with `view`.

    Examples: `safebasin view runs` · `safebasin view bundle runs -o pages`
    """
    from safebasin import api

    given = folders or []
    is_bundle = given[:1] == [BUNDLE]
    paths = given[is_bundle:] or [_default()]
    if not is_bundle:
        if out is not None:
            raise UsageError(
                expected("-o", "left out without `bundle`", str(out), "Write: safebasin view bundle DIR -o OUT.")
            )
        api.view(paths, port=port or 0, open_browser=not no_open, with_text=with_text, note=_say_address)
        return
    if out is None or port is not None or no_open:
        what, value = ("-o", None) if out is None else ("--port" if port is not None else "--no-open", port or no_open)
        constraint = "given with `bundle`" if out is None else "left out with `bundle`, which serves nothing"
        raise UsageError(expected(what, constraint, value, "Write: safebasin view bundle DIR -o OUT."))
    n = api.bundle_view(paths, out, with_text=with_text, note=note)
    say(f"{n} folder{'s' * (n != 1)} in {out / 'index.html'}")


def _default() -> str:
    if not DEFAULT.is_dir():
        raise UsageError(expected("what is viewed", "a folder", None, "Name it: safebasin view FOLDER."))
    return str(DEFAULT)


def _say_address(address: str) -> None:
    say(f"viewer   {address}")
    sys.stdout.flush()  # a program that reads it waits for it
    note("Only this machine can reach it, and only with this address. Ctrl-C ends it.")
