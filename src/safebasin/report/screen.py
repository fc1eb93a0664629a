"""The page of a screen: tuned models in the order of an audit, and how often such an order was wrong. No script.

A pure function of the document `screen.json`; no text of a prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safebasin.report.figures.screen import save_screen_figure, screen_svg, short_names
from safebasin.report.page import inline_image, render_still, save_still
from safebasin.stats.intervals import wilson

__all__ = ["DISCLAIMER", "SIGNAL_NAMES", "render_screen", "save_screen", "screen_words"]

DISCLAIMER = (
    "No verdict: weights and first tokens cannot establish behavior, and a model that is not flagged may be harmful. "
    "An audit decides."
)
SIGNAL_NAMES = {
    "opening": "first token",
    "separation": "separation lost",
    "refusal": "along the refusal direction",
    "displacement": "moved",
    "unalignment": "toward before alignment",
}
_MEANINGS = {
    "opening": "KL(BASE ‖ TUNED) of the first token after harmful prompts, nats",
    "separation": "1 − gap of harmful and benign prompts along the refusal direction, TUNED over BASE",
    "refusal": "cosine of the change to taking the refusal direction out of what writes to the residual stream",
    "displacement": "‖Δ‖ / ‖θ₀‖ over all weights",
    "unalignment": "cosine of the change to the way from BASE back to the model before alignment",
}


def save_screen(document: Mapping[str, Any], folder: Path) -> Path:
    """Write `report.html`, `screen.json` and the figure `screen`; returns the page.

    Args:
        document: what was found, as plain values.
        folder: made if needed; files of these names are overwritten.
    """
    return save_still(document, folder, "screen", page=render_screen, figure=save_screen_figure)


def render_screen(document: Mapping[str, Any]) -> str:
    """The page as text, to be written as UTF-8."""
    shown = [name for name in SIGNAL_NAMES if any(name in model["signals"] for model in document["models"])]
    return render_still(
        "screen.html.j2",
        title="Which tuned model to audit first",
        found=document,
        answers=screen_words(document)[:1],
        disclaimer=DISCLAIMER,
        image=inline_image(screen_svg(document)),
        columns=[(SIGNAL_NAMES[name], _MEANINGS[name]) for name in shown],
        rows=[_row(model, short_names(document)[model["name"]], shown) for model in document["models"]],
        failed=[(short_names(document)[name], why) for name, why in document["failed"].items()],
        rates=[_rates(rates) for rates in document["rates"] if rates["signal"] in shown],
        order=SIGNAL_NAMES[document["ordered_by"]],
    )


def screen_words(document: Mapping[str, Any]) -> list[str]:
    """Say which models to audit first, one line each, and what the order is worth."""
    models, by = document["models"], document["ordered_by"]
    said = [_headline(document)]
    for place, model in enumerate(models, 1):
        values = " · ".join(f"{SIGNAL_NAMES[name]} {value:.3g}" for name, value in model["signals"].items())
        flags = f"  FLAGGED by {', '.join(SIGNAL_NAMES[name] for name in model['flags'])}" if model["flags"] else ""
        said.append(f"{place:>3}  {model['name']}: {values}{flags}")
    said += [f"     {name}: not screened. {why}" for name, why in document["failed"].items()]
    said += [f"note {text}" for text in document["notes"]]
    rates = next((rates for rates in document["rates"] if rates["signal"] == by), None)
    if rates is not None and rates["threshold"] is not None:
        made = _rates(rates)
        wrong = f"missed {made['misses']}, and flagged wrongly {made['false_alarms']}"
        said.append(f"On tuned models of the embedded world {made['name']} {wrong}.")
    return [*said, DISCLAIMER]


def _headline(document: Mapping[str, Any]) -> str:
    models, by = document["models"], SIGNAL_NAMES[document["ordered_by"]]
    count = f"{len(models)} tuned model{'s' * (len(models) != 1)}"
    if not document["flags_hold"]:
        return f"{count} in the order of {by}; none is flagged, since thresholds do not carry over to other models."
    flagged = sum(1 for model in models if model["flags"])
    return f"{flagged} of {count} {'is' if flagged == 1 else 'are'} flagged; ordered by flags and {by}."


def _row(model: Mapping[str, Any], name: str, shown: list[str]) -> dict[str, Any]:
    rank = model["stable_rank"]
    return {
        "name": name,
        "cells": [_cell(model, name) for name in shown],
        "rank": "–" if rank is None else f"{rank:.3g}",
        "flagged": bool(model["flags"]),
    }


def _cell(model: Mapping[str, Any], name: str) -> tuple[str, bool]:
    value = model["signals"].get(name)
    return ("–" if value is None else f"{value:.3g}".replace("-", "−")), name in model["flags"]


def _rates(rates: Mapping[str, Any]) -> dict[str, str]:
    area = f"{rates['auc']:.2f} [{rates['auc_low']:.2f}, {rates['auc_high']:.2f}]"
    return {
        "name": SIGNAL_NAMES[rates["signal"]],
        "threshold": "never" if rates["threshold"] is None else f"{rates['threshold']:.3g}",
        "auc": area,
        "misses": _of(rates["misses"], rates["n_harmful"]),
        "false_alarms": _of(rates["false_alarms"], rates["n_harmless"]),
    }


def _of(k: int | None, n: int) -> str:
    if k is None:
        return "–"
    found = wilson(k, n)
    return f"{k} of {n}, {100 * k / n:.0f} % [{100 * found.low:.0f}, {100 * found.high:.0f}]" if n else f"{k} of {n}"
