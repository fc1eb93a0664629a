"""The figure of several studies: their curves or rims over each other, and their margins with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from safebasin.records import Landscape
from safebasin.report.colors import SERIES_COLORS
from safebasin.report.curves import axis_label, plane_labels
from safebasin.report.differences import joined
from safebasin.report.figures.canvas import STYLE, grid_canvas, name_below, name_figure, save, shortened, svg_of
from safebasin.report.figures.data import point_rows
from safebasin.report.figures.lines import draw_marks, fit_x, name_percent
from safebasin.report.figures.overlays import draw_series
from safebasin.report.figures.planes import draw_rim
from safebasin.report.surfaces import mean_surface
from safebasin.stats.ranking import Ranking

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["comparison_svg", "draw_compared", "draw_comparison", "save_comparison_figure"]


def save_comparison_figure(landscapes: Sequence[Landscape], ranking: Ranking, judge: str, folder: Path) -> list[Path]:
    """Write `comparison.png`, `.svg`, `.pdf`, and the data as `.csv`."""
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        rows = [row for landscape in landscapes for row in point_rows(landscape.panels[:1], study=landscape.name)]
        return save(draw_comparison(landscapes, ranking, judge), folder / "comparison", rows)


def comparison_svg(landscapes: Sequence[Landscape], ranking: Ranking, judge: str) -> bytes:
    """The figure as an SVG file, for readers of the page without scripts."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        return svg_of(draw_comparison(landscapes, ranking, judge))


def draw_comparison(landscapes: Sequence[Landscape], ranking: Ranking, judge: str) -> Figure:
    """Left: the first panels over each other. Right: margins, joined where they cannot be told apart.

    Args:
        landscapes: in the order of the ranking.
        ranking: by margin.
        judge: behind both.
    """
    height = max(3.9, 2.3 + 0.34 * len(landscapes))
    figure, ((left, right),) = grid_canvas(1, 2, (8.6, height), widths=(1.25, 1))
    first = landscapes[0].panels[0]
    draw_compared(left, landscapes, judge)
    _draw_margins(right, ranking)
    name_figure(figure, f"{first.prompts} · {judge}")
    name_below(figure, *left.get_legend_handles_labels())
    return figure


def draw_compared(axes: Axes, landscapes: Sequence[Landscape], judge: str) -> None:
    """The first panels of several landscapes over each other, on axes that are there."""
    draw = _draw_rims if landscapes[0].panels[0].region.is_plane else _draw_curves
    draw(axes, landscapes, judge)


def _draw_curves(axes: Axes, landscapes: Sequence[Landscape], judge: str) -> None:
    first = landscapes[0].panels[0]
    for number, landscape in enumerate(landscapes):
        draw_series(axes, landscape.panels[0], judge, number, shortened(landscape.name, 34))
    draw_marks(axes, first, with_radius=False)
    name_percent(axes, "ASR (%)")
    axes.set_xlabel(axis_label(first.axis))
    fit_x(axes, first)


def _draw_rims(axes: Axes, landscapes: Sequence[Landscape], judge: str) -> None:
    first = landscapes[0].panels[0]
    for number, landscape in enumerate(landscapes):
        color = SERIES_COLORS[number % len(SERIES_COLORS)]
        surface = mean_surface(landscape.panels[0], judge)
        drawn = surface is not None and draw_rim(axes, surface, color=color, width=1.8)
        words = "50% rim" if drawn else "no rim in the range"
        axes.plot([], [], color=color, linewidth=1.8, label=f"{shortened(landscape.name, 34)}: {words}")
    axes.plot([0], [0], marker="X", markersize=8, mfc="white", mec="black", linestyle="none")
    labels = plane_labels(first)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    for axis, fit in zip(first.region.axes, (axes.set_xlim, axes.set_ylim), strict=True):
        fit(min(0.0, *axis.alphas), max(0.0, *axis.alphas))


def _draw_margins(axes: Axes, ranking: Ranking) -> None:
    for row, (name, margin) in enumerate(zip(ranking.order, ranking.margins, strict=True)):
        color = SERIES_COLORS[row % len(SERIES_COLORS)]
        if margin.value is None:
            axes.text(2, row, f"{shortened(name, 20)}: not known", va="center", fontsize=7.5)
            continue
        if margin.low is not None and margin.high is not None:
            axes.plot([100 * margin.low, 100 * margin.high], [row, row], color=color, linewidth=1.6)
        axes.plot([100 * margin.value], [row], marker="D", markersize=5.5, color=color, linestyle="none")
    rows = {name: row for row, name in enumerate(ranking.order)}
    groups = joined(ranking)
    for number, group in enumerate(groups):
        x = 103 + 4 * number
        ends = (min(rows[n] for n in group) - 0.25, max(rows[n] for n in group) + 0.25)
        axes.plot([x, x], ends, color="#555555", linewidth=2.6, solid_capstyle="butt", clip_on=False)
    axes.set_xlim(0, 102 + 4 * len(groups))
    axes.set_xticks(range(0, 101, 25))
    axes.set_ylim(len(ranking.order) - 0.5, -0.5)
    axes.set_yticks(range(len(ranking.order)), [shortened(name, 22) for name in ranking.order])
    axes.set_xlabel("margin: mean of 1 − ASR (%)" + ("\nbars: cannot be told apart" if groups else ""))
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
