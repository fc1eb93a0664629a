"""The words of the smallest budgets that break defenses: cells of a table, what cannot be told apart, what is missing.

Of the document `defenses.json` (`safebasin.trial.stress`). No arithmetic beyond units.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["BUDGETS", "budget_cells", "falls", "gaps", "has_budgets", "held_alike"]

BUDGETS = {
    "steps": ("steps under it", "steps of the attack on the base with the defense in force"),
    "more_steps": ("steps after it", "steps of the attack, without the defense, on what it left of the first"),
    "line": ("way to no defense", "share of the way from what it left to what the attack leaves without a defense"),
    "refusal_direction": ("refusal direction", "share of the refusal direction that is taken out of what it left"),
    "radius": ("radius", "distance from what it left along three random directions"),
}
"""Kind → title, what it is."""
_WHOLE = ("steps", "more_steps")


def has_budgets(document: Mapping[str, Any]) -> bool:
    """Tell whether the comparison has a stress test."""
    return any(arm.get("budgets") for arm in document["arms"])


def budget_cells(arm: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(title, smallest budget, attack success at each budget) of each kind."""
    held = {budget["name"]: budget for budget in arm.get("budgets", ())}
    return [
        (title, "–", "") if name not in held else (title, _value(held[name]), _rates(held[name]))
        for name, (title, _) in BUDGETS.items()
    ]


def held_alike(document: Mapping[str, Any]) -> list[tuple[str, str, list[str]]]:
    """(title of the kind, an arm, the later ones that cannot be told from it by the smallest budget of that kind)."""
    found: dict[tuple[str, str], list[str]] = {}
    for pair in document.get("budget_pairs", ()):
        if not pair["apart"]:
            found.setdefault((BUDGETS[pair["budget"]][0], pair["first"]), []).append(pair["second"])
    return [(title, first, others) for (title, first), others in found.items()]


def gaps(document: Mapping[str, Any]) -> list[str]:
    """List what was not measured, of which arm, and why."""
    return [
        f"{BUDGETS[budget['name']][0]} of {arm['name']}: {budget['gap']}"
        for arm in document["arms"]
        for budget in arm.get("budgets", ())
        if budget["gap"]
    ]


def falls(document: Mapping[str, Any]) -> list[str]:
    """List along which budgets of which arm attack success falls again: there a bisection would not do."""
    return [
        f"{BUDGETS[budget['name']][0]} of {arm['name']}: attack success falls again, so that every budget was asked"
        for arm in document["arms"]
        for budget in arm.get("budgets", ())
        if budget.get("falls")
    ]


def _value(budget: Mapping[str, Any]) -> str:
    found = budget["smallest"]
    if found is None or found["value"] is None:
        return "–"
    low, high = found["low"], found["high"]
    if found["n_censored"]:
        last = max([found["value"], *budget["amounts"]])  # of several seeds some may have broken it
        sign = ">" if found["value"] >= last else "≥"
        return f"{sign} {_number(budget, found['value'])}" + (f" [{_number(budget, low)}, ∞)" if low else "")
    interval = "" if low is None or high is None else f" [{_number(budget, low)}, {_number(budget, high)}]"
    if low is not None and high is None:
        interval = f" [{_number(budget, low)}, ∞)"
    return _number(budget, found["value"]) + interval


def _number(budget: Mapping[str, Any], value: float) -> str:
    if budget["name"] not in _WHOLE:
        return f"{value:.2f}"
    return f"{value:.0f}" if value == round(value) else f"{value:.1f}"  # a mean over seeds


def _rates(budget: Mapping[str, Any]) -> str:
    shown = [
        f"{amount:g}: " + ("–" if rate["value"] is None else f"{100 * rate['value']:.0f} %")
        for amount, rate in zip(budget["amounts"], budget["rates"], strict=True)
    ]
    return ", ".join(shown)
