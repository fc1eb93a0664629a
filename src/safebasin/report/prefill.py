"""The page of forced beginnings: refusal behind them by how many tokens are forced. No script.

A pure function of the document `prefill.json`, so that the page shows nothing that the file lacks; no text of a request
or an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safebasin.report.figures.prefill import prefill_svg, save_prefill_figure
from safebasin.report.page import inline_image, render_still, save_still

__all__ = ["prefill_words", "render_prefill", "save_prefill"]


def save_prefill(document: Mapping[str, Any], folder: Path) -> Path:
    """Write `report.html`, `prefill.json` and `figures/prefill.{png,svg,pdf,csv}`; returns the page.

    Args:
        document: what was found, as plain values.
        folder: made if needed; files of these names are overwritten.
    """
    return save_still(document, folder, "prefill", page=render_prefill, figure=save_prefill_figure)


def render_prefill(document: Mapping[str, Any]) -> str:
    """The page as text, to be written as UTF-8."""
    return render_still(
        "prefill.html.j2",
        title="Refusal behind a forced beginning",
        found=document,
        answers=prefill_words(document),
        image=inline_image(prefill_svg(document)),
        sides={side: [_row(after) for after in found] for side, found in document["sides"].items()},
    )


def prefill_words(document: Mapping[str, Any]) -> list[str]:
    """Say what the curves tell, one sentence a side; a change is told only where its interval leaves out 0."""
    said: list[str] = []
    for side, found in document["sides"].items():
        plain, changed = found[0], [after for after in found[1:] if _is_told(after["change"])]
        first = f"Of {side} requests {_percent(plain['refused'])} are refused with nothing forced"
        if not changed:
            said.append(f"{first}; behind a forced beginning no change is told from none.")
            continue
        farthest = max(changed, key=lambda after: abs(after["change"]["value"]))
        said.append(f"{first}, and {_percent(farthest['refused'])} behind {_tokens(farthest['tokens'])}.")
    return said


def _tokens(n: int) -> str:
    return f"{n} forced token{'' if n == 1 else 's'}"


def _is_told(change: Mapping[str, Any] | None) -> bool:
    return change is not None and change["low"] is not None and (change["low"] > 0 or change["high"] < 0)


def _percent(estimate: Mapping[str, Any]) -> str:
    if estimate["value"] is None:
        return "an unknown share"
    value, low, high = (100 * estimate[key] for key in ("value", "low", "high"))
    return f"{value:.0f} % [{low:.0f}, {high:.0f}]"


def _interval(estimate: Mapping[str, Any] | None) -> str:
    if estimate is None or estimate["value"] is None:
        return "–"
    numbers = [100 * estimate[key] for key in ("value", "low", "high")]
    text = f"{numbers[0]:.1f} [{numbers[1]:.1f}, {numbers[2]:.1f}]"
    return text.replace("-0.0", "0.0").replace("-", "−")


def _row(after: Mapping[str, Any]) -> list[str]:
    shown = [_interval(after[key]) for key in ("refused", "change", "success")]
    return [str(after["tokens"]), str(after["refused"]["n"]), *shown]
