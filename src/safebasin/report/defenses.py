"""The page of a comparison of defenses: one table and one figure, and what cannot be told apart. No script, no text.

A pure function of the document `defenses.json` (`safebasin.trial`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safebasin.report.budgets import BUDGETS, budget_cells, falls, gaps, has_budgets, held_alike
from safebasin.report.figures.budgets import budgets_svg, save_budgets_figure
from safebasin.report.figures.defenses import defenses_svg, save_defenses_figure
from safebasin.report.page import inline_image, render_still
from safebasin.writing import write_text

__all__ = ["COLUMNS", "alike", "cells", "render_defenses", "save_defenses"]

COLUMNS = {
    "asr": ("attack success", "harmful prompts that are not refused"),
    "asr_outcome": ("coherent compliance", "harmful prompts that are answered in coherent language"),
    "over_refusal": ("over-refusal", "harmless prompts that are refused"),
    "capability": ("capability", "benign prompts that are answered, right where an oracle says so"),
}
"""Measure → title, what is counted."""


def save_defenses(document: Mapping[str, Any], folder: Path) -> Path:
    """Write `report.html` and `figures/defenses.{png,svg,pdf,csv}`; where there are any, `figures/budgets.…` too.

    Args:
        document: `defenses.json` as plain values.
        folder: of the comparison.

    Returns:
        The page.
    """
    save_defenses_figure(document, folder / "figures")
    if has_budgets(document):
        save_budgets_figure(document, folder / "figures")
    page = folder / "report.html"
    write_text(page, render_defenses(document))
    return page


def render_defenses(document: Mapping[str, Any]) -> str:
    """The page as text, to be written as UTF-8."""
    return render_still(
        "defenses.html.j2",
        found=document,
        columns=[title for title, _ in COLUMNS.values()],
        meanings=[f"{title}: {what}" for title, what in COLUMNS.values()],
        rows=[{**arm, "cells": cells(arm), "alike": alike(document, arm["name"])} for arm in document["arms"]],
        image=inline_image(defenses_svg(document)),
        budgets=_budgets(document) if has_budgets(document) else None,
    )


def _budgets(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the page says of the stress test."""
    return {
        "meanings": [f"{title}: {what}" for title, what in BUDGETS.values()],
        "rows": [{"name": arm["name"], "cells": budget_cells(arm)} for arm in document["arms"][1:]],
        "alike": held_alike(document),
        "falls": falls(document),
        "gaps": gaps(document),
        "image": inline_image(budgets_svg(document)),
    }


def cells(arm: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(title, value, what stands beside it) of each measure, then headroom, move and costs."""
    held = {measure["name"]: measure for measure in arm["measures"]}
    shown = [
        (title, "–", "") if name not in held else (title, *_share(held[name])) for name, (title, _) in COLUMNS.items()
    ]
    moved = arm["moved"]
    cost = arm["cost"]
    return [
        *shown,
        ("headroom", *_headroom(arm["headroom"])),
        ("moved", "–" if moved is None else f"{100 * moved:.2g} %", ""),
        ("training", _seconds(cost["training"]), ""),
        ("asking", _seconds(cost["asking"]), ""),
    ]


def alike(document: Mapping[str, Any], name: str) -> list[str]:
    """The arms that one cannot be told apart from by attack success."""
    return [
        pair["second"] if pair["first"] == name else pair["first"]
        for pair in document["pairs"]
        if name in (pair["first"], pair["second"]) and not pair["apart"]
    ]


def _share(measure: Mapping[str, Any]) -> tuple[str, str]:
    share, difference = measure["share"], measure["difference"]
    value = "–" if share["value"] is None else f"{100 * share['value']:.0f} % {_interval(share)}"
    if difference is None or difference["value"] is None:
        return value, ""
    return value, f"{100 * difference['value']:+.0f} {_interval(difference)}, p = {measure['p']:.2g}"


def _interval(estimate: Mapping[str, Any]) -> str:
    low, high = estimate["low"], estimate["high"]
    return "" if low is None or high is None else f"[{100 * low:.0f}, {100 * high:.0f}]"


def _headroom(found: Mapping[str, Any] | None) -> tuple[str, str]:
    if found is None or found["value"] is None:
        return "–", ""
    beyond = "more than " if found["censored"] else ""
    low, high = found["low"], found["high"]
    return f"{beyond}{found['value']:+.2f}", "" if low is None or high is None else f"[{low:+.2f}, {high:+.2f}]"


def _seconds(value: float) -> str:
    return "–" if not value else f"{value:.0f} s"
