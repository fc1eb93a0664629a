"""`judge`, `stats`, `report`, `export`: work on a stored study, without the model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from safebasin.cli.app import Folder, Json, app, state
from safebasin.cli.auditing import show_audit
from safebasin.cli.output import Progress, note, print_json, say
from safebasin.errors import StudyError, UsageError, expected
from safebasin.writing import KINDS

if TYPE_CHECKING:
    from safebasin.protocols import Cost
    from safebasin.records import Estimate

WithText = Annotated[bool, typer.Option("--with-text", help="Include texts that redaction withholds.")]


@app.command()
def judge(
    source: Annotated[
        Path,
        typer.Argument(
            help="Folder of a study, a table (JSONL, CSV, Parquet) with `prompt` and `response`, or a log of Inspect, "
            "lm-eval or garak.",
            show_default=False,
        ),
    ],
    judges: Annotated[
        list[str] | None,
        typer.Option(
            "--judge",
            help="Judge, by name (`list judge`). Repeatable. [default: the study's own; of a file refusal, outcome]",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="For a table: write its rows with verdicts here, as JSONL.")
    ] = None,
    json_: Json = False,
) -> None:
    """Judge stored responses again, or responses made elsewhere. Statistics are shown by the judges that are asked for.

    Examples: `safebasin judge runs/demo --judge keyword/zou2023` · `safebasin judge responses.jsonl --judge outcome`
    """
    names = judges or []
    if not source.exists():
        raise UsageError(
            expected("what is judged", "a study folder or a table of responses", str(source), "Check the path.")
        )
    if out is not None and source.is_dir():
        raise UsageError(expected("-o", "left out for the folder of a study", str(out), "Verdicts stay in the folder."))
    if source.is_dir():
        _judge_folder(source, names, json_=json_)
    else:
        _judge_file(source, names, out, json_=json_)


def _judge_folder(folder: Path, names: Sequence[str], *, json_: bool) -> None:
    from safebasin import api
    from safebasin.landscape.landscape_json import to_json
    from safebasin.report.terminal import terminal_curve

    state.folder = folder
    for name, cost in api.estimate_judging(folder, names).items():
        note(f"estimate {name}: about {_cost(cost)}")
    mapped, new = api.judge_study(folder, names, judge=names[0] if names else None, progress=Progress(quiet=json_))
    for name, cost in api.judging_cost(folder, names).items():
        note(f"counted  {name}: {_cost(cost)} in this folder so far")
    further = list(new)[1:] if names else []
    shown = [mapped.landscape, *(api.read_study(folder, judge=name) for name in further)]
    if json_:
        print_json(json.loads(to_json(shown[0])))
        return
    for name, count in new.items():
        say(f"{name}: {count} new verdicts")
        _show_grades(folder, name)
    for landscape in shown:
        say(terminal_curve(landscape))
    say(f"report   {mapped.report}")


def _judge_file(path: Path, names: Sequence[str], out: Path | None, *, json_: bool) -> None:
    from safebasin import api

    for name, cost in api.estimate_judging(path, names, out=out).items():
        note(f"estimate {name}: about {_cost(cost)}")
    judged = api.judge_file(path, names, out=out)
    if json_:
        print_json(judged)
        return
    for name, counts in judged.items():
        say(f"{name}: " + " · ".join(f"{count} {label}" for label, count in counts.items()))
    if out is not None:
        say(f"wrote    {out}")


def _show_grades(folder: Path, name: str) -> None:
    """Score and rate at the origin of each panel; nothing of a judge that gave no grades."""
    from safebasin import api

    try:
        found = api.read_grades(folder, name)
    except StudyError:
        return
    for graded in (g for g in found if g.direction < 0):
        where = f"{graded.prompts}, system {graded.system}, origin"
        say(f"  {where}: score {_interval(graded.score, 1)} · rate {_interval(graded.rate, 100)} %")


def _interval(found: Estimate, scale: float) -> str:
    if found.value is None:
        return "–"
    digits = 2 if scale == 1 else 1
    if found.low is None or found.high is None:
        return f"{scale * found.value:.{digits}f}"
    interval = f" [{scale * found.low:.{digits}f}, {scale * found.high:.{digits}f}]"
    return f"{scale * found.value:.{digits}f}{interval}"


def _cost(cost: Cost) -> str:
    return f"{cost.requests} requests, {cost.tokens_in} tokens in, {cost.tokens_out} tokens out"


@app.command()
def stats(
    folder: Folder,
    judge: Annotated[
        str | None,
        typer.Option(
            "--judge", help="Judge behind the statistics, of those with verdicts here. [default: the study's]"
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """Show the statistics of a study or an audit, computed anew.

    Examples: `safebasin stats runs/demo --judge keyword/zou2023` · `safebasin stats runs/audit`
    """
    from safebasin import api
    from safebasin.landscape.landscape_json import to_json
    from safebasin.report.terminal import terminal_curve

    if KINDS["an audit"].is_here(folder):
        if judge is not None:
            raise UsageError(expected("--judge", "left out for an audit", judge, "A verdict is of the audit's judges."))
        show_audit(api.read_audit(folder, note=lambda text: note(f"note     {text}")), json_=json_)
        return
    landscape = api.read_study(folder, judge=judge)
    if json_:
        print_json(json.loads(to_json(landscape)))
    else:
        say(terminal_curve(landscape))


@app.command()
def report(
    folder: Folder,
    with_text: WithText = False,
    title: Annotated[
        str | None, typer.Option("--title", help="Of every figure file. [default: model and prompt set]")
    ] = None,
    xlim: Annotated[
        str | None, typer.Option("--xlim", metavar="LOW:HIGH", help="Of the figure files, along α: -0.5:0.5.")
    ] = None,
    ylim: Annotated[
        str | None, typer.Option("--ylim", metavar="LOW:HIGH", help="Of rates in percent, or along β.")
    ] = None,
    size: Annotated[
        str | None, typer.Option("--size", metavar="WxH", help="Of the figure files, in inches: 3.3x2.5.")
    ] = None,
    labels: Annotated[str, typer.Option("--labels", help="Language of the figure files: `en` or `de`.")] = "en",
) -> None:
    """Write landscape.json, figures and report.html anew. Of an audit or a fleet its page.

    Examples: `safebasin report runs/demo` · `safebasin report runs/demo --size 3.3x2.5 --xlim -1:1 --labels de`
    """
    from safebasin import api

    state.folder = folder
    if any(KINDS[kind].is_here(folder) for kind in ("an audit", "an audit of a fleet")):
        looks = {"--title": title, "--xlim": xlim, "--ylim": ylim, "--size": size}
        if given := [name for name, value in looks.items() if value is not None] + ["--labels"] * (labels != "en"):
            remedy = "They are of the figures of a study; of an audit: safebasin.audit(…).plot()."
            raise UsageError(expected(given[0], "left out for an audit", " ".join(given), remedy))
        if with_text:
            raise UsageError(expected("--with-text", "left out for an audit", True, "Its page shows no text."))
        say(f"report   {api.report_audit(folder)}")
        return
    mapped = api.report_study(
        folder, with_text=with_text, title=title, xlim=_pair("--xlim", xlim, ":"), ylim=_pair("--ylim", ylim, ":"),
        size=_pair("--size", size, "x"), labels=labels,
    )  # fmt: skip
    say(f"report   {mapped.report}")


def _pair(option: str, text: str | None, between: str) -> tuple[float, float] | None:
    """Two numbers with a sign between them."""
    if text is None:
        return None
    try:
        first, second = map(float, text.lower().split(between))
    except ValueError:
        remedy = f"Write {'-1:1' if between == ':' else '6.6x4.2'}."
        raise UsageError(expected(option, f"two numbers with {between!r} between them", text, remedy)) from None
    return first, second


@app.command()
def export(
    folder: Folder,
    output: Annotated[Path, typer.Option("-o", "--out", help="File to write.", show_default=False)],
    format_: Annotated[
        Literal["parquet", "jsonl", "csv", "inspect", "hf-results", "model-card"] | None,
        typer.Option("--format", help="Of a file whose ending does not say it."),
    ] = None,
    with_text: WithText = False,
) -> None:
    """Write a table with a row per response. Parquet, JSONL or CSV, by the ending of the file. Prompt, response,
    coordinates, direction, finish reason, score under the model itself, verdicts: a column each; JSONL nests them.
    `.eval` is a log that `inspect view` opens. Of an audit: `.yaml`, evaluation entries for the model hub; `.md`, a
    section for a model card.

    Examples: `safebasin export runs/demo -o demo.parquet` · `safebasin export runs/demo -o logs/demo.eval`
    · `safebasin export runs/audit -o results.yaml`
    """
    from safebasin import api

    count = api.export_study(folder, output, format=format_, with_text=with_text)
    say(f"wrote    {output} ({count} rows)")


@app.command("export-model")
def export_model(
    folder: Folder,
    at: Annotated[
        list[str],
        typer.Option("--at", help="Coordinate, `alpha=0.3`; in a plane `beta=…` too. Repeatable.", show_default=False),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="New folder of the checkpoint.", show_default=False)],
    region: Annotated[str | None, typer.Option("--region", help="Region, by name, where there are several.")] = None,
    direction: Annotated[int, typer.Option("--direction", help="Number of the line or plane.")] = 0,
) -> None:
    """Write the model at any point of a study as a checkpoint. An ordinary folder with record and model card, marked
    unsafe where the point comes of an attack.

    Example: `safebasin export-model runs/demo --at alpha=0.3 -o runs/moved`
    """
    from safebasin import api

    unsafe = api.export_model(folder, out, _coordinates(at), region=region, direction=direction)
    say(f"wrote    {out}" + (" (marked unsafe: it comes of an attack)" if unsafe else ""))


def _coordinates(at: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in at:
        name, _, number = text.partition("=")
        name = {"α": "alpha", "β": "beta"}.get(name.strip(), name.strip())
        try:
            value = float(number)
        except ValueError:
            value = None
        if value is None or name in found or name not in ("alpha", "beta"):
            remedy = "Write --at alpha=0.3, in a plane --at beta=0.1 as well."
            raise UsageError(expected("--at", "alpha or beta, each once, with a number", text, remedy))
        found[name] = value
    return found
