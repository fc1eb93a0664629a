"""The figure of what else was measured along a line: perplexity, KL, scores of tasks, under the curve of ASR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from safebasin.records import Landscape, Panel
from safebasin.report.colors import SERIES_COLORS
from safebasin.report.curves import axis_label, rate_name
from safebasin.report.figures.canvas import grid_canvas, name_below, name_figure, panel_name, shortened
from safebasin.report.figures.lines import draw_judge, draw_marks, fit_x, judge_colors, name_percent
from safebasin.report.measurements import MeasurementCurve, measurement_curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_measurements"]

_MARKERS = ("o", "s", "D", "^", "v", "P", "X")


def draw_measurements(landscape: Landscape, panel: Panel) -> Figure:
    """ASR above, and below it a row for each kind of measurement, over the same α."""
    found = measurement_curves(panel)
    kinds = list(dict.fromkeys(curve.kind for curve in found))
    figure, grid = grid_canvas(1 + len(kinds), 1, (6.6, 2.3 + 1.9 * len(kinds)), share_x=True)
    (first,), *others = grid
    for judge, color in judge_colors(landscape, panel):
        draw_judge(first, panel, judge, color, is_main=judge == panel.judge)
    draw_marks(first, panel)
    name_percent(first, f"{rate_name(panel)} (%)")
    name_figure(figure, panel_name(landscape, panel))
    for kind, (axes,) in zip(kinds, others, strict=True):
        _draw_kind(axes, [curve for curve in found if curve.kind == kind])
    for (axes,) in grid:
        axes.axvline(0, color="#222222", linewidth=0.8, linestyle=(0, (1, 2)))
    name_below(figure, *first.get_legend_handles_labels())
    grid[-1][0].set_xlabel(axis_label(panel.axis))
    fit_x(first, panel)
    return figure


def _draw_kind(axes: Axes, found: Sequence[MeasurementCurve]) -> None:
    for number, curve in enumerate(found):
        color = SERIES_COLORS[(number + 3) % len(SERIES_COLORS)]
        for line in curve.lines:
            axes.plot(line.alphas, line.values, color=color, linewidth=0.7, alpha=0.5)
            axes.scatter(line.broken, [0.0] * len(line.broken), marker="x", s=22, color=color, clip_on=False,
                         transform=axes.get_xaxis_transform())  # fmt: skip
        mean = curve.mean
        axes.fill_between(mean.alphas, mean.low, mean.high, color=color, alpha=0.12, linewidth=0)
        axes.plot(mean.alphas, mean.values, color=color, linewidth=1.8, marker=_MARKERS[number % len(_MARKERS)],
                  markersize=3, label=_label(curve))  # fmt: skip
    if found[0].is_log:
        _set_log(axes)
    if found[0].kind == "task":
        axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel(found[0].axis)
    if len(found) == 1:
        axes.set_title(_label(found[0]), fontsize=8.5, fontweight="normal")
    else:
        axes.legend(loc="best", fontsize=7.5)


def _set_log(axes: Axes) -> None:
    """A logarithmic scale whose ticks are plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=7))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _label(curve: MeasurementCurve) -> str:
    words = [shortened(curve.words, 48)]
    if len(curve.lines) > 1:
        words.append(f"mean and range over {len(curve.lines)} directions")
    if any(line.broken for line in curve.lines):
        words.append("× not measurable there")
    return " · ".join(words)
