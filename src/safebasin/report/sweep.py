"""The page of a sweep: tuned models of one base, what each answers, and which differ from the base. No script.

A pure function of the document `models.json`; no text of a prompt or a response.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safebasin.report.figures.sweep import save_sweep_figure, sweep_svg
from safebasin.report.page import inline_image, render_still
from safebasin.writing import write_text

__all__ = ["render_sweep", "save_sweep", "sweep_words"]

NAMED = 6
"""Models that a sentence names of those above, or below, the base."""
_ALIKE = "not told apart"


def save_sweep(document: Mapping[str, Any], folder: Path) -> Path:
    """Write `models.html`, `models.json` and the figure `models` into the folder of a study; returns the page."""
    save_sweep_figure(document, folder / "figures")
    write_text(folder / "models.json", json.dumps(document, indent=1, allow_nan=False) + "\n")
    page = folder / "models.html"
    write_text(page, render_sweep(document))
    return page


def render_sweep(document: Mapping[str, Any]) -> str:
    """The page as text, to be written as UTF-8."""
    return render_still(
        "sweep.html.j2",
        title=f"Models tuned from {document['base']}",
        found=document,
        answers=sweep_words(document),
        image=inline_image(sweep_svg(document)),
        tables=[_table(table) for table in document["tables"]],
        level=f"{100 * document['level']:.3g}",
        failed=list(document["failed"].items()),
        notes=document.get("notes", ()),
    )


def sweep_words(document: Mapping[str, Any]) -> list[str]:
    """Say of each table which models differ from the base, and how."""
    return [_counted(table, document["base"]) for table in document["tables"]]


def _counted(table: Mapping[str, Any], base: str) -> str:
    of = {word: [m["name"] for m in table["models"] if m["told"] == word] for word in ("higher", "lower", _ALIKE)}
    counts = (
        f"{_named(of['higher'], f'above its {rate_name(table)}')}, {_named(of['lower'], 'below it')}, "
        f"{len(of[_ALIKE])} not told apart from it"
    )
    n = len(table["models"])
    return f"{table['prompts']}, by {table['judge']}: of {n} tuned {_plural('model', n)} of {base} {counts}."


def _named(names: Sequence[str], where: str) -> str:
    """How many there are, and the first of them, those with the largest rate."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    listed = f" ({', '.join(names[:NAMED])}{more})" if names else ""
    return f"{len(names)} {'is' if len(names) == 1 else 'are'} {where}{listed}"


def _plural(noun: str, n: int) -> str:
    return noun if n == 1 else f"{noun}s"


def rate_name(table: Mapping[str, Any]) -> str:
    """Name the rate of a table: attack success, or the share of answers where the prompts should be answered."""
    return "share of answers" if table["is_benign"] else "ASR"


def _table(table: Mapping[str, Any]) -> dict[str, Any]:
    outcomes = sorted({label for model in table["models"] for label in model["outcomes"]})
    return {
        "title": table["prompts"]
        if table["system"] == "default"
        else f"{table['prompts']} · system: {table['system']}",
        "judge": table["judge"],
        "rate": rate_name(table),
        "base": _percent(table["base"]),
        "outcomes": outcomes,
        "rows": [_row(model, outcomes) for model in table["models"]],
    }


def _row(model: Mapping[str, Any], outcomes: list[str]) -> dict[str, Any]:
    return {
        "name": model["name"],
        "rate": _percent(model["rate"]),
        "difference": _percent(model["difference"], signed=True),
        "p": f"{model['p_adjusted']:.2g}",
        "told": model["told"],
        "outcomes": [model["outcomes"].get(label, 0) for label in outcomes],
    }


def _percent(estimate: Mapping[str, Any], *, signed: bool = False) -> str:
    if estimate["value"] is None:
        return "–"
    sign = "+" if signed else ""
    text = f"{100 * estimate['value']:{sign}.0f}"
    if estimate["low"] is not None:
        text += f" [{100 * estimate['low']:{sign}.0f}, {100 * estimate['high']:{sign}.0f}]"
    return text.replace("-", "−")
