"""`agreement`: how the judges of a study agree, with one another and with human labels."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safebasin.cli.app import Folder, Json, app, state
from safebasin.cli.output import plain, print_json, say

if TYPE_CHECKING:
    from safebasin.landscape.agreement import Agreement, JudgeOnLabels, JudgePair
    from safebasin.records import Estimate
    from safebasin.stats import Confusion


@app.command()
def agreement(
    folder: Folder,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="Human labels: a table with `id` (of `safebasin export`) and `label`."),
    ] = None,
    judges: Annotated[
        list[str] | None,
        typer.Option("--judge", help="Judge, as the study names it. Repeatable. [default: all of them]"),
    ] = None,
    show: Annotated[int, typer.Option("--show", help="How many disagreements of each pair to list.", min=0)] = 10,
    json_: Json = False,
) -> None:
    """Compare judges with one another, or with human labels. Confusion, κ, α, disagreements by id; with labels,
    sensitivity, specificity and corrected ASR.

    Examples: `safebasin agreement runs/demo` · `safebasin agreement runs/demo --labels labels.csv`
    """
    from safebasin import api

    state.folder = folder
    found = api.agreement(folder, judges=judges or (), labels=labels)
    if json_:
        print_json(asdict(found))
        return
    say(f"{found.n_responses} responses · judges: {', '.join(map(plain, found.judges))}")
    if len(found.judges) + (found.labels is not None) > 2:
        say(f"all       α {_number(found.alpha)}")
    _show_labels(found)
    for pair in found.pairs:
        _show_pair(pair, show)
    for judge in found.on_labels:
        _show_judge(judge)


def _show_labels(found: Agreement) -> None:
    labels = found.labels
    if labels is None:
        return
    say(f"labels    {len(labels.success)} of {found.n_responses} responses, {found.n_unlabeled} without one")
    if labels.n_unknown or labels.n_empty:
        say(f"          left out: {labels.n_unknown} ids not of this study, {labels.n_empty} rows without a label")


def _show_pair(pair: JudgePair, show: int) -> None:
    say(f"\n{plain(pair.first)} × {plain(pair.second)}: {pair.success.n} compared, {pair.n_missing} missing")
    if pair.n_cut:
        say(f"  {pair.n_cut} of them were cut at a refusal, where one of the two could not tell: what follows is")
        say("  about the rest, which holds too few refusals; `map --regenerate` decodes them to the end")
    say(f"  agree   {_percent(pair.accuracy)}, on success or not")
    say(f"  κ       {_number(pair.kappa)}")
    say(f"  α       {_number(pair.alpha)}")
    say(f"\n  success, {plain(pair.first)} in rows, {plain(pair.second)} in columns")
    _show_table(pair.success)
    if pair.outcomes != pair.success:
        say(f"\n  labels, {plain(pair.first)} in rows, {plain(pair.second)} in columns")
        _show_table(pair.outcomes)
        say("")
    for one in pair.disagreements[:show]:
        say(f"  {one.response}  {plain(one.first)} | {plain(one.second)}")
    if len(pair.disagreements) > show:
        say(f"  … {len(pair.disagreements) - show} more; --show {len(pair.disagreements)} or --json lists all")


def _show_table(table: Confusion) -> None:
    """The confusion table without rows and columns of zeros; the first judge in rows."""
    rows = {label: row for label, row in zip(table.labels, table.counts, strict=True) if any(row)}
    columns = [i for i, label in enumerate(table.labels) if any(row[i] for row in rows.values())]
    width = max(map(len, rows), default=0)
    widths = {i: max(len(table.labels[i]), 6) for i in columns}
    say("  " + " " * width + "".join(f"  {table.labels[i]:>{widths[i]}}" for i in columns))
    for label, row in rows.items():
        say(f"  {label:<{width}}" + "".join(f"  {row[i]:>{widths[i]}}" for i in columns))


def _show_judge(judge: JudgeOnLabels) -> None:
    say(f"\n{plain(judge.judge)} against the labels")
    say(f"  sensitivity  {_percent(judge.sensitivity)}")
    say(f"  specificity  {_percent(judge.specificity)}")
    for rate in judge.rates:
        where = f"{plain(rate.prompts)}, system {plain(rate.system)}, origin" if rate.prompts else "all responses"
        say(f"  ASR {where}: judged {_percent(rate.judged)}, corrected {_percent(rate.corrected)}")
        if rate.corrected.low is None:
            say(f"      {rate.corrected.method}")


def _number(found: Estimate) -> str:
    if found.value is None:
        return found.method
    return f"{found.value:.3f}" + ("" if found.low is None else f" [{found.low:.3f}, {found.high:.3f}]")


def _percent(found: Estimate) -> str:
    if found.value is None:
        return "undefined"
    interval = "" if found.low is None or found.high is None else f" [{100 * found.low:.1f}, {100 * found.high:.1f}]"
    return f"{100 * found.value:.1f} %{interval} (n = {found.n})"
