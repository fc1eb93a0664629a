"""The page of an audit: its first screen is the answer with its reason. No script, no text of any response.

A pure function of the document `verdict.json` (`safebasin.audit`), so that the page shows nothing that the file lacks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from safebasin import catalog
from safebasin.report.colors import OUTCOME_COLORS, OUTCOME_WORDS
from safebasin.report.page import render_still

__all__ = ["headroom_words", "render_audit", "rests_on"]

WORDS = {"pass": "Pass", "fail": "Fail", "undecided": "Not decidable", None: "no limit"}
SIGNS = {"pass": "✓", "fail": "✗", "undecided": "?", None: ""}
METRICS = {
    "asr": ("attack success", "harmful prompts that are not refused"),
    "asr_outcome": ("coherent compliance", "harmful prompts that are answered in coherent language"),
    "over_refusal": ("over-refusal", "harmless prompts that are refused"),
    "capability": ("capability", "benign prompts that are answered"),
    "margin": ("margin", "mean of 1 − ASR along random directions"),
    "radius": ("radius", "distance in α at which half of the harmful prompts succeed"),
}
ANSWERED = "answers to benign prompts"
"""What capability is where no oracle says that they are right."""
FLOORS = {
    "base_answers": "benign prompts that the base answers",
    "base_refuses": "harmful prompts that the base refuses",
    "tuned_speaks": "responses of the tuned model to harmful prompts that are language",
}
SHOWN_CHANGES = 40
CURVES = {"asr": ("var(--bad)", "", "square"), "asr_outcome": ("var(--warn)", "6 4", "circle")}
"""Color, dashes and mark of the curves of a line."""


def render_audit(document: Mapping[str, Any]) -> str:
    """The page as text, to be written as UTF-8.

    Args:
        document: `verdict.json` as plain values.
    """
    conditions = [_condition(condition) for condition in document["conditions"]]
    return render_still(
        "audit.html.j2",
        verdict=document,
        word=WORDS[document["decision"]],
        sign=SIGNS[document["decision"]],
        conditions=conditions,
        basin=None if document["basin"] is None else [_metric(m) for m in document["basin"]["metrics"]],
        around=_around(document["basin"]),
        line=None if document["line"] is None else _line(document["line"]),
        blocks=_blocks(document["distance"]),
        outcome_colors=OUTCOME_COLORS,
        outcome_words=OUTCOME_WORDS,
        signs=SIGNS,
        words=WORDS,
        level=f"{100 * document['policy']['level']:.4g}",
        assumed=_assumed(document["policy"]),
    )


# --- one condition ---------------------------------------------------------------------------------------------------


def _condition(condition: Mapping[str, Any]) -> dict[str, Any]:
    template = "" if condition["template"] == "base" else f" · template {condition['template']}"
    metrics = [_metric(metric) for metric in condition["metrics"]]
    return {
        "name": f"system prompt {condition['system']}{template}",
        "decision": condition["decision"],
        "gated": [m for m in metrics if m["limit"] and not m["category"]],
        "others": [m for m in metrics if not m["limit"] and not m["category"]],
        "categories": [m for m in metrics if m["category"]],
        "outcomes": [_bars(name, both) for name, both in condition["outcomes"].items()],
        "changes": condition["changes"][:SHOWN_CHANGES],
        "n_changes": len(condition["changes"]),
        "floors": [_floor(floor) for floor in condition.get("floors", ())],
    }


def _around(basin: Mapping[str, Any] | None) -> str:
    """The region of the rows that are of the basin."""
    if basin is None:
        return ""
    low, high = (f"{end:g}".replace("-", "−") for end in basin["range"])
    return f"{basin['directions']} random directions, α from {low} to {high}"


def _floor(floor: Mapping[str, Any]) -> dict[str, Any]:
    share = floor["share"]
    return {
        "title": FLOORS.get(floor["name"], floor["name"]),
        "share": "nothing is scored" if share["value"] is None else f"{100 * share['value']:.1f}%",
        "low": "" if share["low"] is None else f"{100 * share['low']:.1f}%",
        "floor": f"{100 * floor['floor']:g}%",
        "met": floor["met"],
    }


def _assumed(policy: Mapping[str, Any]) -> str:
    """What the bounds take for granted, in sentences."""
    cluster, look, agreement, among = (policy.get(key) for key in ("cluster", "look", "agreement", "among"))
    return " ".join(
        (
            f"Prompts of a cluster ({cluster}) count as one." if cluster else "Prompts are taken as independent.",
            f"This is look {look}." if look else "The sample is taken as looked at once.",
            "Attack success is corrected for the judge's mistakes." if agreement else "Judges are taken at their word.",
            *((f"The 5% of error are those of {among} models together.",) if among else ()),
        )
    )


def _metric(metric: Mapping[str, Any]) -> dict[str, Any]:
    name, unit = metric["name"], "α" if metric["name"] == "radius" else "points"
    difference = metric["difference"]
    title, meaning = METRICS.get(name, (name, ""))
    if name.startswith("asr:"):
        title, meaning = f"attack success by {metric['judge']}", ""
    if name == "capability" and catalog.is_exact(metric["judge"]):
        meaning += " exactly"
    elif name == "capability":
        title, meaning = ANSWERED, "benign prompts that are answered, rightly or not (capability in the policy)"
    is_category = name.startswith("asr/")
    return {
        "title": name.removeprefix("asr/") if is_category else title,
        "meaning": meaning,
        "category": is_category,
        "judge": metric["judge"],
        "prompts": metric["prompts"],
        "n": rests_on(metric),
        "n_missing": difference["n_missing"],
        "base": _rate(metric["base"], unit),
        "tuned": _rate(metric["tuned"], unit),
        "worse": _signed(difference["value"], unit),
        "bounds": _bounds(difference, unit),
        "limit": "" if metric["limit"] is None else _plain(metric["limit"], unit),
        "decision": metric["decision"],
        "advice": metric["advice"],
        "method": difference["method"],
        "plot": _plot(metric),
    }


def rests_on(metric: Mapping[str, Any]) -> str:
    """Count the prompts that a metric rests on, and their clusters where these count: `60 in 34 clusters`.

    Args:
        metric: as in `verdict.json`. One of a basin rests on directions as well, and says nothing here.
    """
    difference = metric["difference"]
    if metric["name"] in ("margin", "radius"):
        return ""
    clusters = re.search(r"\bin \d+ clusters\b", difference["method"])
    return f"{difference['n']} {clusters[0]}" if clusters else str(difference["n"])


def _rate(estimate: Mapping[str, Any], unit: str) -> str:
    value = estimate["value"]
    if value is None:
        return "–"
    at_least = "≥ " if estimate["n_censored"] else ""
    return f"{at_least}{value:.2f}" if unit == "α" else f"{100 * value:.1f}%"


def _signed(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    if value == 0:
        return "0"
    return (f"{value:+.2f} α" if unit == "α" else f"{100 * value:+.1f}").replace("-", "−")


def _plain(value: float, unit: str) -> str:
    return f"{value:g} α" if unit == "α" else f"{100 * value:g}"


def _bounds(estimate: Mapping[str, Any], unit: str) -> str:
    if estimate["low"] is None or estimate["high"] is None:
        return ""
    scale, digits = (1, 2) if unit == "α" else (100, 1)
    low, high = (f"{scale * estimate[key]:+.{digits}f}".replace("-", "−") for key in ("low", "high"))
    return f"{low} to {high}"


def _plot(metric: Mapping[str, Any]) -> dict[str, float] | None:
    """Where the interval, the estimate and the limit lie in a picture 220 wide: a scale that shows the limit well."""
    difference, limit = metric["difference"], metric["limit"]
    if difference["value"] is None or difference["low"] is None or limit is None:
        return None
    ends = [difference["low"], difference["high"], limit, 0.0]
    reach = max(2 * limit, 1.08 * max(abs(end) for end in ends), 0.02)

    def place(value: float) -> float:
        return round(110 + 100 * max(-1.0, min(1.0, value / reach)), 1)

    return {
        "low": place(difference["low"]),
        "high": place(difference["high"]),
        "value": place(difference["value"]),
        "limit": place(limit),
        "zero": place(0.0),
    }


def _bars(name: str, both: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for who, counts in both.items():
        total = sum(counts.values())
        parts = [
            {"outcome": outcome, "count": count, "share": round(100 * count / total, 2)}
            for outcome, count in counts.items()
        ]
        rows.append({"who": who, "total": total, "parts": parts})
    return {"name": name, "rows": rows}


# --- the line, the distance ------------------------------------------------------------------------------------------


def _line(line: Mapping[str, Any]) -> dict[str, Any]:
    """Curves in a picture of 640 × 260 with room for axes: x from 50 to 620, y from 220 (0) to 20 (100%)."""
    alphas: Sequence[float] = line["alphas"]
    span = alphas[-1] - alphas[0]

    def x(alpha: float) -> float:
        return round(50 + 570 * (alpha - alphas[0]) / span, 1)

    def y(rate: float) -> float:
        return round(220 - 200 * rate, 1)

    curves: list[dict[str, Any]] = []
    for name in [name for name in line["rates"] if name in CURVES]:  # an earlier release measured more along the line
        rates = line["rates"][name]
        known = [(x(a), y(r["value"])) for a, r in zip(alphas, rates, strict=True) if r["value"] is not None]
        color, dash, mark = CURVES[name]
        curves.append(
            {
                "name": METRICS[name][0],
                "color": color,
                "dash": dash,
                "mark": mark,
                "points": known,
                "values": [_rate(rate, "points") for rate in rates],
            }
        )
    return {
        "ticks": [(x(alpha), f"{alpha:g}") for alpha in alphas],
        "levels": [(y(level), f"{level:.0%}") for level in (0, 0.25, 0.5, 0.75, 1)],
        "base": x(0.0),
        "tuned": x(1.0),
        "curves": curves,
        "headroom": [headroom_words(found, identical=line["identical"]) for found in line["headroom"]],
    }


def headroom_words(found: Mapping[str, Any], *, identical: bool) -> str:
    """The headroom of a line by one judge in a sentence or two, as page and terminal say it.

    Args:
        found: an entry of `line.headroom` of `verdict.json`.
        identical: whether both models have the same weights.
    """
    value, judge = found["value"], found["judge"]
    if identical:
        return f"Headroom by {judge}: none (identical)."
    if value is None:
        return f"Headroom by {judge}: undefined."
    bounds = _interval(found.get("low"), found.get("high"))
    if found["censored"]:
        return f"Headroom by {judge}: ≥ {value:.2f}{bounds}. ASR stays below one half on the whole measured line."
    said = f"Headroom by {judge}: {value:+.2f}{bounds}".replace("-", "−")
    said += f". ASR reaches one half at α = {1 + value:.2f}, {'beyond' if value >= 0 else 'before'} the tuned model."
    if found.get("coarse"):
        low, high = found["between"]
        said += f" That is coarse: measured is only that it lies between α = {low:g} and {high:g}."
    return said


def _interval(low: float | None, high: float | None) -> str:
    if low is None:
        return ""
    return f" [{low:+.2f}, …) one-sided 97.5%" if high is None else f" [{low:+.2f}, {high:+.2f}]"


def _blocks(distance: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    if distance is None or not distance["relative"]:
        return []
    most = max(block["relative"] for block in distance["blocks"]) or 1.0
    return [
        {
            "name": block["name"],
            "relative": f"{100 * block['relative']:.3g}%",
            "share": f"{100 * block['share']:.1f}%",
            "width": round(100 * block["relative"] / most, 1),
        }
        for block in distance["blocks"]
    ]
