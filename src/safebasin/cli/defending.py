"""`defenses`: one attack under each of several defenses, compared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from safebasin.cli.app import Json, app, state
from safebasin.cli.options import Device, HarmfulPrompts
from safebasin.cli.output import Progress, note, print_json, say


@app.command()
def defenses(
    base: Annotated[str, typer.Argument(metavar="BASE", help="The model that is attacked, as for `map`.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the comparison.")] = Path("runs/defenses"),
    attack: Annotated[str, typer.Option("--attack", help="By name: safebasin list attack.")] = "harmful_examples",
    defense: Annotated[
        list[str] | None,
        typer.Option(
            "--defense",
            help="By name, of any stage: safebasin list defense. Repeatable. [default: those of the world]",
            show_default=False,
        ),
    ] = None,
    harmful: HarmfulPrompts = None,
    benign: Annotated[str | None, typer.Option("--benign", help="Benign prompts: capability.")] = None,
    borderline: Annotated[
        str | None, typer.Option("--borderline", help="Benign prompts that look harmful: over-refusal.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", min=1, help="At most this many prompts of each set. [default: 200]", show_default=False
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="40 prompts of each set: wider intervals.")] = False,
    judge: Annotated[list[str] | None, typer.Option("--judge", help="As for `audit`. Repeatable.")] = None,
    method: Annotated[Literal["full", "lora"], typer.Option("--method", help="As for `finetune`.")] = "full",
    data: Annotated[
        Path | None, typer.Option("--data", metavar="FILE", help="Rows of the attack. A world has its own.")
    ] = None,
    safe: Annotated[Path | None, typer.Option("--safe", metavar="FILE", help="Refusals to mix in.")] = None,
    stress: Annotated[
        int | None,
        typer.Option(
            "--stress",
            min=1,
            metavar="STEPS",
            show_default=False,
            help="Find the smallest budget that breaks each, up to STEPS of the attack: 16, 64.",
        ),
    ] = None,
    stress_seeds: Annotated[
        int,
        typer.Option("--stress-seeds", min=1, metavar="N", help="Trainings of --stress, one a seed: 1, or 3 and more."),
    ] = 1,
    utility: Annotated[
        Path | None, typer.Option("--utility", metavar="FILE", help="With --stress: answers to permitted requests.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of rows and training.")] = 0,
    device: Device = "auto",
    json_: Json = False,
) -> None:
    """Compare defenses. The attack under each, all asked the same prompts, paired with no defense; needs `train`.

    Example: `safebasin defenses world:guild/aligned --quick -o runs/defenses`
    """
    from safebasin import api

    state.folder = out
    progress = Progress(quiet=json_)

    def training(step: int, steps: int, loss: float) -> None:
        if not json_ and step in (1, steps):
            note(f"train    {step}/{steps} steps · loss {loss:.4f}")

    def told(text: str) -> None:
        progress.close()
        if not json_:
            note(text)

    found = api.compare_defenses(
        base, out=out, attack=attack, defenses=defense or (), harmful=harmful, benign=benign, borderline=borderline,
        limit=limit, quick=quick, judges=judge or (), method=method, data=data, safe=safe, utility=utility,
        stress=stress, stress_seeds=stress_seeds, seed=seed, device=device, progress=progress, training=training,
        note=told,
    )  # fmt: skip
    progress.close()
    document = json.loads(json.dumps(asdict(found.comparison)))
    if json_:
        print_json(document)
        return
    _show(document)
    say(f"report   {found.report}")


def _show(document: Mapping[str, Any]) -> None:
    from safebasin.report.budgets import budget_cells, falls, gaps, has_budgets, held_alike
    from safebasin.report.defenses import alike, cells

    arms = document["arms"]
    _table([(arm["name"], cells(arm)) for arm in arms])
    for arm in arms[1:]:
        if others := alike(document, arm["name"]):
            say(f"alike    {arm['name']}: cannot be told apart by attack success from {'; '.join(others)}")
    if not has_budgets(document):
        return
    say("\nThe smallest budget that breaks it")
    _table([(arm["name"], budget_cells(arm)) for arm in arms[1:]])
    for budget, first, others in held_alike(document):
        say(f"alike    {first}: cannot be told apart by {budget} from {'; '.join(others)}")
    for text in falls(document):
        say(f"falls    {text}")
    for text in gaps(document):
        say(f"missing  {text}")


def _table(named: Sequence[tuple[str, Sequence[tuple[str, str, str]]]]) -> None:
    """One line a name, one column a cell: (title, value, what stands beside it)."""
    width = max(len(name) for name, _ in named)
    titles = [title for title, _, _ in named[0][1]]
    rows = [[value for _, value, _ in found] for _, found in named]
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for name, row in (("", titles), *zip((name for name, _ in named), rows, strict=True)):
        say("  ".join([f"{name:<{width}}", *(f"{v:<{w}}" for v, w in zip(row, widths, strict=True))]).rstrip())
