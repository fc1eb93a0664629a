"""The figure of a sweep: the rate of each tuned model with its interval, beside that of the base.

Reads the document `models.json` as plain values; nothing here measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safebasin.report.figures.canvas import STYLE, grid_canvas, name_below, name_figure, save, shortened, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_sweep", "draw_sweep_on", "save_sweep_figure", "sweep_svg"]

_COLORS = {"higher": "#D55E00", "lower": "#0072B2", "not told apart": "#767676"}
_MARKERS = {"higher": "^", "lower": "v", "not told apart": "o"}
_NAMED = 60
"""Models up to which each is named at its row."""


def save_sweep_figure(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write the figure `models` into a folder."""
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        return save(draw_sweep(document), folder / "models")


def sweep_svg(document: Mapping[str, Any]) -> bytes:
    """The figure as an SVG file."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        return svg_of(draw_sweep(document))


def draw_sweep(document: Mapping[str, Any]) -> Figure:
    """One pair of axes a table, one row a model.

    Args:
        document: `models.json` as plain values.
    """
    tables = document["tables"]
    n = max((len(table["models"]) for table in tables), default=1)
    width = 2.4 + 3.6 * len(tables)
    figure, (row,) = grid_canvas(1, max(1, len(tables)), (width, min(24.0, 1.6 + 0.2 * n)))
    for axes, table in zip(row, tables, strict=True):
        draw_sweep_on(axes, table)
    name_figure(figure, f"Models tuned from {document['base']}")
    handles, labels = row[0].get_legend_handles_labels()
    name_below(figure, handles, labels)
    return figure


def draw_sweep_on(axes: Axes, table: Mapping[str, Any]) -> None:
    """Draw one table of `models.json`, a row a model; its legend is the caller's."""
    models, base = table["models"], table["base"]
    if base["low"] is not None:
        axes.axvspan(100 * base["low"], 100 * base["high"], color="#009E73", alpha=0.15, linewidth=0)
    if base["value"] is not None:
        axes.axvline(100 * base["value"], color="#009E73", linewidth=1.2, label="the base, with its interval")
    for told, color in _COLORS.items():
        rows = [(at, model["rate"]) for at, model in enumerate(models) if model["told"] == told]
        rows = [(at, rate) for at, rate in rows if rate["value"] is not None]
        if not rows:
            continue
        places = [at for at, _ in rows]
        axes.hlines(places, [100 * rate["low"] for _, rate in rows], [100 * rate["high"] for _, rate in rows],
                    color=color, linewidth=1.2)  # fmt: skip
        label = told if told == "not told apart" else f"{told} than the base"
        axes.plot([100 * rate["value"] for _, rate in rows], places, color=color, marker=_MARKERS[told], markersize=4,
                  linestyle="none", label=label)  # fmt: skip
    if len(models) <= _NAMED:
        axes.set_yticks(range(len(models)), [shortened(model["name"], 30) for model in models], fontsize=7)
    axes.set_ylim(len(models) - 0.5, -0.5)
    axes.set_xlim(-2, 102)
    axes.set_title(shortened(f"{table['prompts']} · {table['judge']}", 46))
    axes.set_xlabel("answered (%)" if table["is_benign"] else "ASR (%)")
