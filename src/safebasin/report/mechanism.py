"""The page of a mechanism: what safety training did to a pair of models. No script.

A pure function of the document `mechanism.json`, so that the page shows nothing that the file lacks; no text of a
prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safebasin.report.figures.mechanism import mechanism_svg, save_mechanism_figure
from safebasin.report.page import inline_image, render_still, save_still

__all__ = ["mechanism_words", "render_mechanism", "save_mechanism"]


def save_mechanism(document: Mapping[str, Any], folder: Path) -> Path:
    """Write `report.html`, `mechanism.json` and `figures/mechanism.{png,svg,pdf,csv}`; returns the page.

    Args:
        document: what was found, as plain values.
        folder: made if needed; files of these names are overwritten.
    """
    return save_still(document, folder, "mechanism", page=render_mechanism, figure=save_mechanism_figure)


def render_mechanism(document: Mapping[str, Any]) -> str:
    """The page as text, to be written as UTF-8."""
    return render_still(
        "mechanism.html.j2",
        title="What safety training changed",
        found=document,
        answers=mechanism_words(document),
        image=inline_image(mechanism_svg(document)),
        layers=[_layer(found) for found in document["layers"]],
        matrices=[_matrix(found) for found in document["matrices"]],
        slopes=_slopes(document["sensitivity"]),
    )


def mechanism_words(document: Mapping[str, Any]) -> list[str]:
    """Say what the measures tell, one sentence each; a difference is told only where its interval leaves out 0."""
    parts = [found["layer"] for found in document["layers"] if _is_parted(found["tuned"])]
    before = [found["layer"] for found in document["layers"] if _is_parted(found["base"])]
    fires = [m["name"] for m in document["matrices"] if (m["firing_gap"]["low"] or 0) > 0]
    outside = [m["name"] for m in document["matrices"] if m["columns"] and _mean(m["columns"]) > m["columns"]["chance"]]
    n = len(document["matrices"])
    said = [
        f"TUNED tells harmful requests from benign ones after {_listed(parts)}; BASE after {_listed(before)}.",
        f"The change answers more strongly to harmful requests in {len(fires)} of {n} matrices.",
        f"It writes outside the column space of its matrix more than a random change would in {len(outside)} of {n}.",
    ]
    found = document["sensitivity"]
    if found is not None:
        said += [_slope_words(kind, found["change"][kind]) for kind in ("harmful", "benign")]
    return said


def _slope_words(kind: str, change: Mapping[str, Any]) -> str:
    if (change["low"] or 0) > 0:
        return f"The largest logit became steeper on {kind} prompts."
    if (change["high"] or 0) < 0:
        return f"The largest logit became flatter on {kind} prompts."
    return f"The slope of the largest logit on {kind} prompts is not told from what it was."


def _is_parted(sides: Mapping[str, Any]) -> bool:
    return (sides["benign"]["low"] or 0) > 0 > (sides["harmful"]["high"] or 0)


def _listed(layers: list[int]) -> str:
    if not layers:
        return "no layer"
    runs = [(layer, layer) for layer in layers[:1]]
    for layer in layers[1:]:
        first, last = runs[-1]
        runs[-1:] = [(first, layer)] if layer == last + 1 else [runs[-1], (layer, layer)]
    named = [f"{first}" if first == last else f"{first} to {last}" for first, last in runs]
    return f"layer{'s' if len(layers) > 1 else ''} {', '.join(named)}"


def _mean(columns: Mapping[str, Any]) -> float:
    return sum(columns["sines"]) / len(columns["sines"])


def _shown(estimate: Mapping[str, Any], digits: int = 2) -> str:
    text = f"{estimate['value']:.{digits}f}"
    if estimate["low"] is not None:
        text += f" [{estimate['low']:.{digits}f}, {estimate['high']:.{digits}f}]"
    return text.replace(f"-{0:.{digits}f}", f"{0:.{digits}f}").replace("-", "−")


def _layer(found: Mapping[str, Any]) -> list[str]:
    sides = [_shown(found[side][kind]) for side in ("base", "tuned") for kind in ("benign", "harmful")]
    return [str(found["layer"]), *sides]


def _matrix(found: Mapping[str, Any]) -> dict[str, str]:
    columns, control = found["columns"], found["control"]
    return {
        "name": found["name"],
        "ranks": "unchanged" if columns is None else f"{columns['rank']} / {columns['rank_change']}",
        "sine": "" if columns is None else f"{_mean(columns):.3f}",
        "chance": "" if columns is None else f"{columns['chance']:.3f}",
        "control": "" if control is None else f"{_mean(control):.3f}",
        "gap": _shown(found["firing_gap"], 4),
    }


def _slopes(found: Mapping[str, Any] | None) -> list[list[str]]:
    if found is None:
        return []
    return [
        [kind, *(_shown(found[side][kind]) for side in ("base", "tuned", "change"))] for kind in ("benign", "harmful")
    ]
