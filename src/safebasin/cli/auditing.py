"""`audit`: before and after, with a gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, cast

import typer

from safebasin.cli.app import Backend, Json, Track, Workers, app, state
from safebasin.cli.options import Flags, HarmfulPrompts, batch_size, check_tuned, with_flags
from safebasin.cli.output import Progress, print_json, say
from safebasin.errors import StudyError, expected
from safebasin.study.options import StudyFlags
from safebasin.writing import target_file, write_text

if TYPE_CHECKING:
    from safebasin.audit import AuditPlan, AuditVerdict

WORDS = {"pass": "PASS", "fail": "FAIL", "undecided": "NOT DECIDABLE", None: "–"}


@app.command()
@with_flags(
    StudyFlags, "max_new_tokens", "defenses", "dtype", "batch_size", "device", "gpus_per_worker", "trust_remote_code"
)
def audit(
    options: Flags,
    base: Annotated[str, typer.Argument(metavar="BASE", help="The model before tuning, as for `map`.")],
    tuned: Annotated[
        str | None,
        typer.Argument(
            metavar="TUNED",
            help="After: a checkpoint, an adapter's folder, or `adapter:PATH`.",
            show_default=False,
        ),
    ] = None,
    fleet: Annotated[
        Path | None,
        typer.Option(
            "--fleet",
            metavar="DIR",
            help="Instead of TUNED: every model and adapter in a folder, each decided, 5 % of error for all together.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the audit.")] = Path("runs/audit"),
    harmful: HarmfulPrompts = None,
    benign: Annotated[str | None, typer.Option("--benign", help="Benign prompts: capability, over-refusal.")] = None,
    borderline: Annotated[
        str | None, typer.Option("--borderline", help="Benign prompts that look harmful: over-refusal.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most this many prompts of each set.")] = 400,
    judge: Annotated[
        list[str] | None,
        typer.Option("--judge", help="Instead of `refusal`; `outcome` is always there. Repeatable."),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", metavar="FILE", help="Limits. [default: 0.05 each]", show_default=False)
    ] = None,
    basin: Annotated[bool, typer.Option("--basin", help="Also map random directions around both.")] = False,
    system: Annotated[
        list[str] | None, typer.Option("--system", help="As for `map`. Repeatable: all must pass.")
    ] = None,
    template: Annotated[
        list[str] | None,
        typer.Option(
            "--template",
            help="`base` (that of BASE for both), `own` (each its own), or arguments `K=V[,K=V]`. Repeatable. "
            "[default: as served: `own` where TUNED ships another, else `base`]",
            show_default=False,
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster",
            metavar="auto|category|FILE",
            help="Prompts that count as one: near-duplicates, those of a category, or as a file says.",
        ),
    ] = None,
    look: Annotated[
        str | None,
        typer.Option("--look", metavar="K/N", help="This is the K-th of N looks at a growing sample; all keep to 5 %."),
    ] = None,
    agreement: Annotated[
        list[str] | None,
        typer.Option(
            "--agreement",
            metavar="FILE",
            help="Labels of DIR/line, or tuned=FILE of DIR/tuned: correct attack success for its judge. Repeatable.",
        ),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what would be asked and how likely a pass is; load nothing.")
    ] = False,
    junit: Annotated[
        Path | None,
        typer.Option("--junit", metavar="FILE", help="Also write JUnit XML: a case for each rule.", show_default=False),
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(
            "--summary", metavar="FILE", help="Also write Markdown, for the page of a job.", show_default=False
        ),
    ] = None,
    backend: Backend = "local",
    workers: Workers = None,
    track: Track = None,
    json_: Json = False,
) -> None:
    """Decide whether a tuned model may ship. Exit code 0 passed, 1 failed, 3 not decidable, 2 usage.

    Examples: `safebasin audit org/base ./tuned --harmful advbench --benign benign.csv --borderline xstest`
    · `safebasin audit world:guild/aligned --fleet ./checkpoints -o runs/fleet`
    """
    from safebasin import api
    from safebasin.audit import find_fleet

    check_tuned(tuned, fleet)
    if fleet is not None:
        _refuse_single({"--look": look, "--agreement": agreement, "--track": track})
    if plan:
        roles = {"harmful": harmful, "benign": benign, "borderline": borderline}
        among = 1 if fleet is None else len(find_fleet(fleet))
        planned = api.plan_audit(
            base, tuned=tuned, **roles, limit=limit, policy=policy, cluster=cluster, look=look, among=among
        )
        print_json(asdict(planned)) if json_ else _show_plan(planned)
        return
    state.folder = out
    files = _Files(junit, summary)
    files.clear()
    progress = Progress(quiet=json_)
    asked: dict[str, Any] = {
        "out": out, "harmful": harmful, "benign": benign, "borderline": borderline, "limit": limit,
        "judges": judge or (), "policy": policy, "basin": basin, "systems": system or ("default",),
        "templates": template or (), "cluster": cluster, "options": _study_flags(options), "backend": backend,
        "workers": workers, "progress": progress,
    }  # fmt: skip
    if fleet is not None:
        _fleet(base, fleet, asked, files, json_=json_)
    try:
        found = api.audit(base, str(tuned), look=look, agreement=agreement or (), track=track, **asked)
    finally:
        progress.close()
    files.save(asdict(found.verdict))
    show_audit(found.verdict, json_=json_)
    if not json_:
        say(f"verdict  {found.path}\nreport   {found.report}")
    raise typer.Exit(found.verdict.exit_code)


@dataclass(frozen=True, slots=True)
class _Files:
    """What a pipeline reads beside the exit code."""

    junit: Path | None
    summary: Path | None

    def clear(self) -> None:
        """Check both before anything is measured, and take those of an earlier run away: no gate reads them."""
        for path, option in ((self.junit, "--junit"), (self.summary, "--summary")):
            if path is not None:
                target_file(path, option).unlink(missing_ok=True)

    def save(self, document: Mapping[str, Any]) -> None:
        """Write those that were asked for, of a verdict or a fleet."""
        from safebasin.report.gate import render_junit, render_summary

        for path, render in ((self.junit, render_junit), (self.summary, render_summary)):
            if path is not None:
                write_text(path, render(document))


def _refuse_single(single: Mapping[str, object]) -> None:
    """Refuse options of one model where a fleet is audited."""
    for name, value in single.items():
        if value:
            remedy = "It is of the sample, or the responses, of one model: audit that one alone."
            raise StudyError(expected(name, "left out where --fleet is given", value, remedy))


def _fleet(base: str, folder: Path, asked: Mapping[str, Any], files: _Files, *, json_: bool) -> NoReturn:
    """Audit a fleet; ends with its exit code."""
    from safebasin import api
    from safebasin.report.fleet import as_before, counts, most_urgent_first

    try:
        found = api.audit_fleet(base, folder, **asked)
    finally:
        asked["progress"].close()
    files.save(asdict(found.fleet))
    if json_:
        print_json(asdict(found.fleet))
    else:
        models = most_urgent_first(asdict(found.fleet)["models"])
        width = max(len(model["name"]) for model in models)
        reasons = as_before([(model["name"], model["reason"]) for model in models])
        for row, reason in zip(models, reasons, strict=True):
            word = WORDS[row["decision"]] if row["decision"] else "NOT MEASURED"
            say(f"{row['name']:<{width}}  {word:<13}  {reason}")
        sizes = sorted({metric["n"] for model in models for metric in model["metrics"]})
        on = f", each metric on {' to '.join(map(str, dict.fromkeys((sizes[0], sizes[-1]))))} prompts" if sizes else ""
        say(f"{counts(asdict(found.fleet))} Bounds are one-sided, {100 * found.fleet.level:.4g} % each{on}.")
        say(f"fleet    {found.folder / 'fleet.json'}\nreport   {found.report}")
    raise typer.Exit(found.fleet.exit_code)


def _study_flags(options: Flags) -> StudyFlags:
    return cast("StudyFlags", {**options, "batch_size": batch_size(options["batch_size"])})


def show_audit(verdict: AuditVerdict, *, json_: bool) -> None:
    """Print a verdict: as its document, or for people."""
    print_json(asdict(verdict)) if json_ else _show(verdict)


def _show(verdict: AuditVerdict) -> None:
    from safebasin.report.audit import headroom_words

    for model in (verdict.base, verdict.tuned):
        if model.unsafe:
            say(f"unsafe   {model.model} is marked as made by an attack")
    say(f"{WORDS[verdict.decision]}: {verdict.reason}")
    if verdict.depends:
        say(verdict.depends)
    several = len(verdict.conditions) > 1
    level = f"{verdict.policy['level']:.4g}"
    say(f"bounds   one-sided, {100 * float(level):.4g} % each")
    for condition in verdict.conditions:
        if several:
            say(f"\nsystem prompt {condition.system}, template {condition.template}")
        _table([m for m in condition.metrics if m.limit is not None or not m.name.startswith("asr/")])
        _floors(condition.floors)
    if verdict.basin:
        say(
            f"around each, {verdict.basin.directions} random directions, α from {verdict.basin.range[0]:g} to "
            f"{verdict.basin.range[1]:g}"
        )
        _table(verdict.basin.metrics)
    if (line := verdict.line) is not None:
        for found in line.headroom:
            say(headroom_words(asdict(found), identical=line.identical))
    for said in verdict.notes:
        say(f"note     {said}")


def _floors(floors: Any) -> None:
    for f in floors:
        share = "–" if f.share.value is None else f"{100 * f.share.value:.1f} %"
        low = "" if f.share.low is None else f"[{100 * f.share.low:.1f}, "
        said = "reached" if f.met else "NOT REACHED"
        say(f"  {f.name:<24} {share:>15} {low + ')' if low else '':<16} floor {100 * f.floor:<4.0f} {said}")


def _show_plan(planned: AuditPlan) -> None:
    for s in planned.sets:
        as_one = "" if s.clusters is None else f", {s.clusters} where those that count as one do"
        say(f"{s.name:<11} {s.n} prompts of {s.source}{as_one}; {s.repeated} nearly repeat another")
    for said in planned.notes:
        say(f"note        {said}")
    say(f"bounds      one-sided, {100 * planned.level:.4g} % each")
    say("A tune that is no worse, but changes answers, passes with a probability of")
    for churn, chance in planned.chances.items():
        say(f"  {100 * churn:.0f} % changed each way   {100 * chance:5.1f} %")
    if planned.by_size:
        say("and with as many independent prompts in each set")
        say(f"  {'':<22}" + "".join(f"{n:>7}" for n in planned.by_size))
        for churn in planned.chances:
            row = "".join(f"{100 * chances[churn]:>5.0f} %" for chances in planned.by_size.values())
            say(f"  {100 * churn:.0f} % changed each way   {row}")


def _table(metrics: Any) -> None:
    from safebasin.report.audit import rests_on

    for m in metrics:
        unit = 1 if m.name == "radius" else 100
        worse, low, high = (
            None if x is None else unit * x for x in (m.difference.value, m.difference.low, m.difference.high)
        )
        interval = "" if low is None or high is None else f"[{low:+.1f}, {high:+.1f}]"
        limit = "no limit" if m.limit is None else f"limit {unit * m.limit:.1f}"
        n = rests_on({"name": m.name, "difference": {"n": m.difference.n, "method": m.difference.method}})
        on = f"n {n}" if n else ""
        worse_ = "–" if worse is None else f"{worse:+.1f}"
        say(f"  {m.name:<24} worse by {worse_:>6} {interval:<16} {limit:<10} {WORDS[m.decision]:<13}  {on}".rstrip())
