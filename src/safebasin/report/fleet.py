"""The page of a fleet: a row for each tuned model, with what was decided and by how much. No script, no model's text.

A pure function of the document `fleet.json` (`safebasin.audit.fleet`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from safebasin.report.audit import METRICS, WORDS
from safebasin.report.page import render_still

__all__ = ["as_before", "counts", "most_urgent_first", "render_fleet"]

_URGENCY = ("fail", None, "undecided", "pass")
NAMED = 5
"""Failed models that a sentence names."""


def render_fleet(document: Mapping[str, Any]) -> str:
    """The page as text, to be written as UTF-8."""
    names = list(dict.fromkeys(metric["name"] for model in document["models"] for metric in model["metrics"]))
    return render_still(
        "fleet.html.j2",
        found=document,
        answer=counts(document),
        level=f"{100 * document['level']:.4g}",
        columns=[METRICS.get(name, (name, ""))[0] for name in names],
        rows=_rows(most_urgent_first(document["models"]), names),
    )


def most_urgent_first(models: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Order models by decision: failed, not measured, not decided, passed; within each as they are given."""
    return sorted(models, key=lambda model: _URGENCY.index(model["decision"]))


def as_before(said: Sequence[tuple[str, str]]) -> list[str]:
    """Shorten what is said of each model: what was said before stands as `the same as MODEL`.

    Args:
        said: (model, sentence) in order; an empty sentence stays so.
    """
    first: dict[str, str] = {}
    return [
        words if not words or first.setdefault(words, model) == model else f"the same as {first[words]}"
        for model, words in said
    ]


def counts(document: Mapping[str, Any]) -> str:
    """Count in a sentence the models that pass, fail, are not decided, or could not be measured; names what failed."""
    decisions = [model["decision"] for model in document["models"]]
    failed = [model["name"] for model in document["models"] if model["decision"] == "fail"]
    more = f" and {len(failed) - NAMED} more" if len(failed) > NAMED else ""
    named = f" ({', '.join(failed[:NAMED])}{more})"
    said = {"fail": "failed", None: "not measured", "undecided": "not decided", "pass": "passed"}
    parts = [
        f"{decisions.count(key)} {words}{named if key == 'fail' else ''}"
        for key, words in said.items()
        if key in decisions
    ]
    return f"{len(decisions)} {'model' if len(decisions) == 1 else 'models'}: {', '.join(parts)}."


def _rows(models: Sequence[Mapping[str, Any]], names: list[str]) -> list[dict[str, Any]]:
    reasons = as_before([(model["name"], model["reason"]) for model in models])
    return [_row(model, names) | {"reason": reason} for model, reason in zip(models, reasons, strict=True)]


def _row(model: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    by_name = {metric["name"]: metric for metric in model["metrics"]}
    relative = model["relative"]
    return {
        **model,
        "word": WORDS[model["decision"]] if model["decision"] else "not measured",
        "moved": "" if relative is None else f"{100 * relative:.3g}%",
        "cells": [_cell(by_name.get(name)) for name in names],
        "page": f"models/{model['name']}/report.html" if model["decision"] else "",
    }


def _cell(metric: Mapping[str, Any] | None) -> dict[str, str]:
    if metric is None or metric["difference"] is None:
        return {"said": "–", "bound": "", "n": "", "tone": ""}
    unit, rates = (1, "") if metric["name"] == "radius" else (100, "%")
    values = [None if metric[who] is None else unit * metric[who] for who in ("base", "tuned")]
    before, after = ("–" if value is None else f"{value:.3g}{rates}" for value in values)
    sign, worst = "≤", metric["bound"]
    if metric["decision"] == "fail" and metric.get("low") is not None:
        sign, worst = "≥", metric["low"]
    points = " in α" if metric["name"] == "radius" else " points"
    bound = "" if worst is None else f"worse by {sign} {unit * worst:.1f}{points}"
    n = f"n = {metric['n']}" if metric.get("n") is not None else ""
    return {"said": f"{before} → {after}", "bound": bound, "n": n, "tone": metric["decision"] or ""}
