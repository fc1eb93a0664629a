"""The figure of a mechanism: how requests part by layer, where the change writes, and what it answers to.

Reads the document `mechanism.json` as plain values; nothing here measures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safebasin.report.figures.canvas import STYLE, grid_canvas, name_below, name_figure, save, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_mechanism", "mechanism_svg", "save_mechanism_figure"]

COLORS = {"benign": "#0072B2", "harmful": "#D55E00"}
_CHANGE, _CONTROL = "#222222", "#767676"


def save_mechanism_figure(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write `mechanism.png`, `.svg`, `.pdf`, and its data as `.csv`."""
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        return save(draw_mechanism(document), folder / "mechanism")


def mechanism_svg(document: Mapping[str, Any]) -> bytes:
    """The figure as an SVG file."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        return svg_of(draw_mechanism(document))


def draw_mechanism(document: Mapping[str, Any]) -> Figure:
    """Separation by layer, sines of the change, and how strongly it fires.

    Args:
        document: `mechanism.json` as plain values.
    """
    figure, grid = grid_canvas(3, 1, (6.6, 8.4), share_x=True)
    _draw_separation(grid[0][0], document)
    _draw_sines(grid[1][0], document)
    _draw_firing(grid[2][0], document)
    grid[2][0].set_xlabel("layer")
    grid[2][0].locator_params(axis="x", integer=True)
    name_figure(figure, f"{document['base']} → {document['tuned']}")
    name_below(figure)
    return figure


def _draw_separation(axes: Axes, document: Mapping[str, Any]) -> None:
    layers = [found["layer"] for found in document["layers"]]
    for side, dashes in (("base", (0, (3, 2))), ("tuned", "-")):
        for kind, color in COLORS.items():
            means = [found[side][kind] for found in document["layers"]]
            axes.fill_between(layers, _ends(means, "low"), _ends(means, "high"), color=color, alpha=0.15,
                              linewidth=0)  # fmt: skip
            axes.plot(layers, [m["value"] for m in means], color=color, linestyle=dashes, marker="o", markersize=3,
                      linewidth=1.5, label=f"{kind} prompts, {side.upper()}")  # fmt: skip
    axes.axhline(0, color="#222222", linewidth=0.8, linestyle=(0, (1, 2)))
    axes.set_ylabel("separation τ")


def _draw_sines(axes: Axes, document: Mapping[str, Any]) -> None:
    shown = [("columns", _CHANGE, "o", "outside the column space: the change")]
    if document["control"] is not None:
        shown.append(("control", _CONTROL, "s", "the control's change"))
    for key, color, marker, label in shown:
        found = [(m["layer"], m[key]) for m in document["matrices"] if m[key] is not None]
        means = [sum(columns["sines"]) / len(columns["sines"]) for _, columns in found]
        axes.plot([layer for layer, _ in found], means, marker=marker, linestyle="none", color=color, markersize=5,
                  label=label)  # fmt: skip
    chances = [(m["layer"], m["columns"]["chance"]) for m in document["matrices"] if m["columns"] is not None]
    axes.plot([layer for layer, _ in chances], [chance for _, chance in chances], marker="_", markersize=14,
              linestyle="none", color="#009E73", label="chance")  # fmt: skip
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("mean sin θ")


def _draw_firing(axes: Axes, document: Mapping[str, Any]) -> None:
    layers = [m["layer"] for m in document["matrices"]]
    gaps = [m["firing_gap"] for m in document["matrices"]]
    axes.vlines(layers, _ends(gaps, "low"), _ends(gaps, "high"), color=_CHANGE, linewidth=1.4)
    axes.plot(layers, [g["value"] for g in gaps], marker="o", linestyle="none", color=_CHANGE, markersize=4.5)
    axes.axhline(0, color="#222222", linewidth=0.8, linestyle=(0, (1, 2)))
    axes.set_ylabel("answers more to harmful")


def _ends(estimates: Sequence[Mapping[str, Any]], end: str) -> list[float]:
    """One end of each interval; NaN, which is not drawn, where none is claimed."""
    return [math.nan if estimate[end] is None else estimate[end] for estimate in estimates]
