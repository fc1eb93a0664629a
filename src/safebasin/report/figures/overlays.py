"""Figures of several panels of one line: their curves over each other, and one small axes for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from safebasin.records import Landscape, Panel
from safebasin.report.colors import SERIES_COLORS
from safebasin.report.curves import axis_label, mean_curve, rate_name
from safebasin.report.explanations import value_words
from safebasin.report.figures.canvas import drawable, grid_canvas, name_below, name_figure, shortened
from safebasin.report.figures.lines import RIMS, draw_judge, draw_marks, fit_x, judge_colors, name_percent
from safebasin.report.layout import Overlay, model_name
from safebasin.report.sides import named_side

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_multiples", "draw_overlay", "draw_series"]

_DASHES = ("-", (0, (4, 1.5)), (0, (1.5, 1.5)), (0, (5, 1.5, 1, 1.5)))
_MARKERS = ("o", "s", "D", "^", "x", "+", "*")


def draw_overlay(landscape: Landscape, overlay: Overlay) -> Figure:
    """The mean curves of several panels in one axes a judge, each with its band, on the same scale."""
    judges = [judge for judge, _ in judge_colors(landscape, overlay.panels[0])]
    judges = [judge for judge in judges if any(mean_curve(p, judge) for p in overlay.panels)] or judges[:1]
    size = (6.6 if len(judges) == 1 else 3.9 * len(judges), 4.3 + 0.12 * len(overlay.panels))
    figure, (row,) = grid_canvas(1, len(judges), size)
    for axes, judge in zip(row, judges, strict=True):
        for number, panel in enumerate(overlay.panels):
            draw_series(axes, panel, judge, number, shortened(overlay.name_of(panel), 34))
        draw_marks(axes, overlay.panels[0], with_radius=False)
        axes.set_title(shortened(judge, 44), fontsize=9)
        axes.set_xlabel(axis_label(overlay.region.axes[0]))
        name_percent(axes, "counted as success (%)" if axes is row[0] else "")
        fit_x(axes, overlay.panels[0])
    name_figure(figure, f"{model_name(landscape.model)} · {overlay.title}")
    name_below(figure, *row[0].get_legend_handles_labels())
    return figure


def draw_multiples(landscape: Landscape, overlay: Overlay) -> Figure:
    """One small axes a panel, all on the same ranges; the first panel's curve is gray in the others."""
    columns = min(3, len(overlay.panels))
    rows = -(-len(overlay.panels) // columns)
    figure, grid = grid_canvas(rows, columns, (2.7 * columns + 0.6, 2.5 * rows + 0.9), share_x=True)
    every = [axes for row in grid for axes in row]
    for axes in every[len(overlay.panels) :]:
        axes.remove()
    first = mean_curve(overlay.panels[0], overlay.panels[0].judge)
    for number, (axes, panel) in enumerate(zip(every, overlay.panels, strict=False)):
        if number and first is not None:
            name = f"{shortened(overlay.name_of(overlay.panels[0]), 30)} (for comparison)"
            x, y, _, _ = drawable(first)
            axes.plot(x, y, color="#9A9A9A", linewidth=2.4, label=name)
        for judge, color in judge_colors(landscape, panel):
            draw_judge(axes, panel, judge, color, is_main=judge == panel.judge)
        draw_marks(axes, panel)
        radius = panel.summary.get("radius")
        side = f" {named_side(panel, 'radius') or ''}".rstrip()
        words = f" · radius {value_words('radius', radius)}{side}" if radius is not None else ""
        axes.set_title(shortened(overlay.name_of(panel), 24) + words, fontsize=8.5)
        name_percent(axes, f"{rate_name(panel)} (%)" if number % columns == 0 else "")
        fit_x(axes, panel)
        axes.tick_params(labelbottom=True)
        axes.set_xlabel(axis_label(overlay.region.axes[0]), fontsize=8)
    _name_all(figure, every[: len(overlay.panels)])
    name_figure(figure, f"{model_name(landscape.model)} · {overlay.title}")
    return figure


def draw_series(axes: Axes, panel: Panel, judge: str, number: int, name: str) -> None:
    """The mean curve of a panel with its band, in the color, dash and marker of its number."""
    curve = mean_curve(panel, judge)
    if curve is None:
        return
    color = SERIES_COLORS[number % len(SERIES_COLORS)]
    x, y, low, high = drawable(curve)
    axes.fill_between(x, low, high, color=color, alpha=0.10, linewidth=0)
    axes.plot(
        x, y, color=color, linewidth=1.7, linestyle=_DASHES[number % len(_DASHES)],
        marker=_MARKERS[number % len(_MARKERS)], markersize=3.2 if len(curve.alphas) <= 41 else 0,
        label=f"{name}\n(band: {curve.band})",
    )  # fmt: skip


def _name_all(figure: Figure, every: list[Axes]) -> None:
    """One legend for all: each name once."""
    named = {
        label: handle
        for axes in every
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        if handle.get_gid() != RIMS
    }
    if named:
        name_below(figure, list(named.values()), list(named))
