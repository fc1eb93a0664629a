"""`compare`, `claims`, `worst-case`: several studies at once, the claims of a paper, the direction that hurts most."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safebasin.cli.app import Json, app, state
from safebasin.cli.options import Device
from safebasin.cli.output import Progress, note, print_json, say
from safebasin.errors import UsageError, expected

if TYPE_CHECKING:
    from safebasin.api import Compared
    from safebasin.claims.check import Checked
    from safebasin.records import Estimate


@app.command()
def compare(
    folders: Annotated[list[Path], typer.Argument(help="Folders of two studies or more.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the comparison.")] = Path("runs/comparison"),
    json_: Json = False,
) -> None:
    """Compare studies of several models: a figure and a ranking. They must ask the same.

    Example: `safebasin compare runs/base runs/tuned -o runs/comparison`
    """
    from safebasin import api

    show_ranking(api.compare_studies(folders, out=out), json_=json_)


def show_ranking(found: Compared, *, json_: bool) -> None:
    """Print the ranking of several models, for a program or a person."""
    from safebasin.report.differences import is_compared, uncompared_words
    from safebasin.report.terminal import terminal_notes

    ranking = found.ranking
    if json_:
        print_json(asdict(ranking))
        return
    say(f"margin over {ranking.region}")
    if words := uncompared_words(ranking):
        say(words)
    for place, (name, margin) in enumerate(zip(ranking.order, ranking.margins, strict=True), start=1):
        say(f"{place:>2}. {name:<30} margin {_percents(margin)}")
    for pair in ranking.pairs:
        verdict = "apart" if pair.is_apart else "cannot be told apart" if is_compared(pair) else "not compared"
        say(f"    {pair.region}: {pair.first} − {pair.second}: {_percents(pair.difference)} · {verdict}")
    for line in terminal_notes(found.notes):
        say(line)
    say(f"report   {found.report}")


@app.command()
def claims(
    paper: Annotated[
        str,
        typer.Argument(
            help="`arditi2024`, `bhardwaj2024`, `hsu2024`, `jain2024`, `li2025`, `peng2024`, `qi2023`, `scans2025`, "
            "`wang2024`, `wei2024`, `yi2024` or `yuan2025`.",
            show_default=False,
        ),
    ],
    on: Annotated[
        list[str] | None,
        typer.Option(
            "--on",
            help="`guild`, the embedded world, or `real`, the model of world:kitchen. Repeat it for a table of both. "
            "`jain2024` has a world of its own, `pcfg`. [default: guild]",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Folder, for one --on. [default: runs/claims-PAPER]", show_default=False),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer directions, prompts, seeds and variants.")] = False,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Check this claim only, by name. Repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**31, help="Seed of directions, training and search.")] = 0,
    json_: Json = False,
) -> None:
    """Check the claims of a paper on a model. Each is reproduced, not reproduced, undecided, or not run.

    Those about fine-tuning are checked on what `finetune` makes: they need the extra `train`.

    Example: `safebasin claims peng2024 --quick`
    """
    from safebasin import api
    from safebasin.claims.subject import usual_subject

    subjects = tuple(dict.fromkeys(on or [usual_subject(paper)]))
    if out is not None and len(subjects) > 1:
        raise UsageError(expected("--out", "given with one --on", str(out), "Leave it out, or check one at a time."))
    state.folder = out
    progress = Progress(quiet=json_)

    def show(checked: Checked) -> None:
        progress.close()
        if not json_:
            _show_claim(checked)

    found = {
        name: api.check_claims(
            paper, on=name, out=out, quick=quick, only=only or (), seed=seed, progress=progress, done=show,
            note=(lambda text: None) if json_ else note,
        )
        for name in subjects
    }  # fmt: skip
    if json_:
        rows = [(name, checked) for name in subjects for checked in found[name]]
        print_json([{"on": on, "claim": c.claim.name, "answer": c.answer, **asdict(c.finding)} for on, c in rows])
        return
    say("")
    say("".join(f"{name:<44}" for name in ("claim", *subjects)).rstrip())
    for same in zip(*found.values(), strict=True):
        cells = (same[0].claim.name, *map(_answer, same))
        say("".join(f"{cell:<44}" for cell in cells).rstrip())


@app.command("worst-case")
def worst_case(
    model: Annotated[str, typer.Argument(help="As for `map`.", show_default=False)],
    prompts: Annotated[
        str, typer.Option("--prompts", help="The handful it is found on; keep it apart from what you map.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="New folder for the adapter.", show_default=False)],
    limit: Annotated[int, typer.Option("--limit", help="At most this many of them.", min=1)] = 10,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Steps of gradient ascent, at most. [default: 40]")
    ] = None,
    device: Device = "auto",
) -> None:
    """Find the low-rank change that ends refusal fastest. An attack: the adapter is marked unsafe.

    Example: `safebasin worst-case world:guild/aligned --prompts world:guild/harmful@val -o runs/worst`
    """
    from safebasin import api

    found = api.find_worst_case(model, prompts=prompts, out=out, limit=limit, steps=steps, device=device)
    reached = "" if found.reached else "; it did not get as far as it wanted: allow more --steps"
    say(f"found    on {len(found.prompts)} prompts in {len(found.losses) - 1} steps{reached}")
    say(f"unsafe   {found.path}")
    say(f"map it   safebasin map {model} --axis {found.axis}")


def _show_claim(checked: Checked) -> None:
    claim, finding = checked.claim, checked.finding
    say(f"\n{claim.name}: {checked.answer}  ({checked.seconds:.0f} s)")
    say(f"  hypothesis  {claim.hypothesis}")
    say(f"  statistic   {claim.meaning}")
    if checked.answer == "not run":
        say(f"  because     {finding.details[0]}")
        return
    p = "" if finding.p is None else f", p = {finding.p:.3g}"
    say(f"  found       {_number(finding.estimate)}{p}")
    say(f"  reproduced if {claim.reproduced}; not reproduced if {claim.not_reproduced}")
    say(f"  negative    {claim.negative}")
    for detail in finding.details:
        say(f"  · {detail}")


def _answer(checked: Checked) -> str:
    is_known = checked.finding.estimate.value is not None
    return f"{checked.answer} {_number(checked.finding.estimate)}" if is_known else checked.answer


def _number(estimate: Estimate) -> str:
    if estimate.value is None:
        return "undefined"
    at_least = "≥ " if estimate.n_censored else ""
    if estimate.low is None:
        return f"{at_least}{estimate.value:.3f}"
    high = "" if estimate.high is None else f" to {estimate.high:.3f}"
    return f"{at_least}{estimate.value:.3f} [{estimate.low:.3f}{high}]"


def _percents(estimate: Estimate) -> str:
    if estimate.value is None:
        return "undefined"
    if estimate.low is None or estimate.high is None:
        return f"{100 * estimate.value:.1f} % (no interval)"
    return f"{100 * estimate.value:.1f} % [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"
