"""`doctor`: the environment, what would fail, and how to mend it."""

from __future__ import annotations

import typer

from safebasin.cli.app import Json, app
from safebasin.cli.output import print_json, say


@app.command()
def doctor(json_: Json = False) -> None:
    """Check the environment. Versions, devices, memory, offline settings, optional packages.

    Example: `safebasin doctor`
    """
    from safebasin import api

    checks = api.check_environment()
    if json_:
        print_json([{"name": c.name, "ok": c.ok, "found": c.found, "remedy": c.remedy} for c in checks])
    else:
        for check in checks:
            mark = "ok  " if check.ok else "look"
            say(f"{mark} {check.name:<14} {check.found}" + (f"  → {check.remedy}" if check.remedy else ""))
    if any(check.required and not check.ok for check in checks):
        raise typer.Exit(1)
