"""The page of a fleet: a row for each tuned model, with what was decided and by how much. No script, no model's text.

A pure function of the document `fleet.json` (`safebasin.audit.fleet`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from safebasin.report.audit import METRICS, WORDS
from safebasin.report.page import render_still

__all__ = ["counts", "render_fleet"]


def render_fleet(document: Mapping[str, Any]) -> str:
    """The page as text, to be written as UTF-8."""
    names = list(dict.fromkeys(metric["name"] for model in document["models"] for metric in model["metrics"]))
    return render_still(
        "fleet.html.j2",
        found=document,
        answer=counts(document),
        level=f"{100 * document['level']:.4g}",
        columns=[METRICS.get(name, (name, ""))[0] for name in names],
        rows=[_row(model, names) for model in document["models"]],
    )


def counts(document: Mapping[str, Any]) -> str:
    """Count in a sentence the models that pass, fail, are not decided, or could not be measured."""
    decisions = [model["decision"] for model in document["models"]]
    said = {"pass": "passed", "fail": "failed", "undecided": "not decided", None: "not measured"}
    parts = [f"{decisions.count(key)} {words}" for key, words in said.items() if key in decisions]
    return f"{len(decisions)} models: {', '.join(parts)}."


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
        return {"said": "–", "bound": "", "tone": ""}
    unit, rates = (1, "") if metric["name"] == "radius" else (100, "%")
    values = [None if metric[who] is None else unit * metric[who] for who in ("base", "tuned")]
    before, after = ("–" if value is None else f"{value:.3g}{rates}" for value in values)
    bound = "" if metric["bound"] is None else f"worse by ≤ {unit * metric['bound']:.1f}"
    return {"said": f"{before} → {after}", "bound": bound, "tone": metric["decision"] or ""}
