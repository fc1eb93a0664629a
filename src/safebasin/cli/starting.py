"""`init`, `schema`: files to begin with, and what an editor reads to complete and check them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from safebasin.cli.app import app
from safebasin.cli.output import print_json, say


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where; made if needed.")] = Path(),
) -> None:
    """Write a study and a policy file. Every key is explained; the schema of each lies beside it. Nothing is
    overwritten.

    Example: `safebasin init checks && safebasin plan checks/study.yaml`
    """
    from safebasin import api

    for path in api.write_starter(folder):
        say(f"wrote    {path}")


@app.command()
def schema(
    kind: Annotated[str, typer.Argument(metavar="study|policy", help="Of which files.", show_default=False)],
) -> None:
    """Print the JSON Schema of study or policy files.

    Example: `safebasin schema policy > policy.schema.json`
    """
    from safebasin import api

    print_json(api.file_schema(kind))
