"""`verdict.json`: the decision in words, the document, its schema, and writing it whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path

from safebasin.audit.records import AuditVerdict, Condition, Floor, Metric
from safebasin.stats.gate import Decision
from safebasin.writing import write_text

__all__ = ["VERDICT", "dependence", "gated", "missed", "reason", "remove", "schema", "to_json", "write"]

VERDICT = "verdict.json"
NAMED = 3
"""Failed metrics that the reason names; the table has them all."""
TITLES = {
    "asr": "attack success",
    "asr_outcome": "coherent compliance with harmful prompts",
    "over_refusal": "over-refusal",
    "capability": "capability",
    "margin": "margin",
    "radius": "radius",
}
FLOOR_TITLES = {
    "base_answers": "share of benign prompts that BASE answers",
    "base_refuses": "share of harmful prompts that BASE refuses",
    "tuned_speaks": "share of TUNED's responses to harmful prompts that are language",
}


def title(metric: str) -> str:
    """A metric in words that go with "worse by"."""
    if metric.startswith("asr/"):
        return f"attack success in category {metric.removeprefix('asr/')}"
    return TITLES.get(metric, metric)


def amount(metric: str, value: float | None) -> str:
    """A size for people: `3.2 points`, or α for a radius."""
    if value is None:
        return "an unknown amount"
    if metric == "radius":
        return f"{value:.2f} in α".replace("-", "−")
    return f"{100 * value:.3g} points".replace("-", "−")


def gated(conditions: Sequence[Condition], further: Sequence[Metric] = ()) -> list[tuple[str, Metric]]:
    """Every metric with a limit, with the name of its condition where there are several."""
    named = len(conditions) > 1
    found = [
        (condition_name(condition) if named else "", metric)
        for condition in conditions
        for metric in condition.metrics
        if metric.decision is not None
    ]
    return found + [("", metric) for metric in further if metric.decision is not None]


def condition_name(condition: Condition) -> str:
    """A condition for people."""
    template = "" if condition.template == "base" else f", template {condition.template}"
    return f"system prompt {condition.system}{template}"


def missed(conditions: Sequence[Condition]) -> list[tuple[str, Floor]]:
    """Every floor that is not reached, with the name of its condition where there are several."""
    named = len(conditions) > 1
    return [(condition_name(c) if named else "", f) for c in conditions for f in c.floors if not f.met]


def _below(floors: Sequence[tuple[str, Floor]]) -> str:
    """What the floors say, each once."""
    once = {floor.name: (where, floor) for where, floor in reversed(floors)}
    return "; ".join(_said(where, floor) for where, floor in reversed(once.values()))


def _said(where: str, floor: Floor) -> str:
    said = FLOOR_TITLES[floor.name]
    under = f" under {where}" if where else ""
    asked = f"{floor.name} asks for {100 * floor.floor:.3g} %"
    if floor.share.value is None or floor.share.low is None:
        return f"{said}{under}: {_unscored(floor.judge, 'any prompt')} ({asked})"
    share, low = 100 * floor.share.value, 100 * floor.share.low
    return f"{said}{under}: {share:.3g} %, at least {low:.3g} % ({asked})"


def _unscored(judge: str, of: str) -> str:
    return f"nothing is scored: {judge} has no verdict on {of}, as where --max-new-tokens cuts answers short"


def reason(decision: Decision, metrics: Sequence[tuple[str, Metric]], floors: Sequence[tuple[str, Floor]] = ()) -> str:
    """The decision in a sentence or two: the metrics behind it, with bound and limit, or the floors that are missed.

    Args:
        decision: of the audit.
        metrics: those with a limit, as `gated`.
        floors: those that are not reached, as `missed`.
    """
    if decision == "undecided" and floors:
        rest = [pair for pair in metrics if pair[1].decision == "undecided"]
        more = f" {_undecided(rest, len(metrics))}" if rest else ""
        return f"Too little is measured for a pass: {_below(floors)}.{more}"
    if decision == "pass":
        where, nearest = max(metrics, key=lambda pair: (pair[1].difference.high or 0.0) - (pair[1].limit or 0.0))
        bound, limit = amount(nearest.name, nearest.difference.high), amount(nearest.name, nearest.limit)
        return (
            f"{_all(len(metrics))} below the limit. The nearest is {_named(where, nearest)}: worse by at most {bound}, "
            f"limit {limit}."
        )
    chosen = [pair for pair in metrics if pair[1].decision == decision]
    return _failed(chosen) if decision == "fail" else _undecided(chosen, len(metrics))


def _failed(chosen: Sequence[tuple[str, Metric]]) -> str:
    """Each metric once, under the condition where it is worst, the worst first."""
    worst: dict[str, tuple[str, Metric]] = {}
    for where, m in sorted(chosen, key=lambda pair: (pair[1].limit or 0.0) - (pair[1].difference.low or 0.0)):
        worst.setdefault(m.name, (where, m))
    said = [
        f"{_named(where, m)} by {amount(m.name, m.difference.value)}, at least {amount(m.name, m.difference.low)} "
        f"(limit {amount(m.name, m.limit)})"
        for where, m in worst.values()
    ]
    more = f"; and {len(said) - NAMED} more metrics" if len(said) > NAMED else ""
    return f"Worse than the limit allows: {'; '.join(said[:NAMED])}{more}."


def _undecided(chosen: Sequence[tuple[str, Metric]], n: int) -> str:
    """The metric that is hardest to decide, with what would decide it."""
    hopeless = [pair for pair in chosen if (pair[1].difference.value or 0.0) >= (pair[1].limit or 0.0)]
    where, m = max(hopeless or chosen, key=lambda pair: pair[1].more_prompts or float("inf"))
    name, limit = _named(where, m), amount(m.name, m.limit)
    first = f"The sample does not decide {len(chosen)} of {n} metrics."
    if m.difference.value is None:
        return f"{first} Of {name} {_unscored(m.judge, 'both models for any prompt')}."
    value, bound = amount(m.name, m.difference.value), amount(m.name, m.difference.high)
    return f"{first} The hardest is {name}: worse by {value}, at most {bound}, limit {limit}. {m.advice}"


def _all(n: int) -> str:
    return "The upper bound is" if n == 1 else f"All {n} upper bounds are"


def _named(where: str, metric: Metric) -> str:
    return f"{title(metric.name)} under {where}" if where else title(metric.name)


def dependence(conditions: Sequence[Condition]) -> str:
    """Say whether the decision depends on system prompt and template; empty where there is one of each."""
    if len(conditions) < 2:
        return ""
    decisions = {condition.decision for condition in conditions}
    words = {"pass": "passes", "fail": "fails", "undecided": "is not decided", None: "is not limited"}
    if len(decisions) == 1:
        said = words[decisions.pop()]
        return f"The verdict does not depend on system prompt and template: it {said} under all {len(conditions)}."
    said = "; ".join(f"it {words[c.decision]} under {condition_name(c)}" for c in conditions)
    return f"The verdict depends on system prompt and template: {said}."


def to_json(verdict: AuditVerdict) -> str:
    """The document, as its schema has it."""
    return json.dumps(asdict(verdict), indent=1, allow_nan=False) + "\n"


def schema() -> dict[str, object]:
    """The published JSON Schema of `verdict.json`."""
    text = resources.files("safebasin.audit").joinpath("verdict.schema.json").read_text(encoding="utf-8")
    return json.loads(text)


def remove(folder: Path) -> None:
    """Take away the verdict of an earlier run, so that no gate reads it after this one ends without any."""
    (folder / VERDICT).unlink(missing_ok=True)


def write(folder: Path, verdict: AuditVerdict) -> Path:
    """Write the verdict under a temporary name and rename it; returns its path."""
    path = folder / VERDICT
    write_text(path, to_json(verdict))
    return path
