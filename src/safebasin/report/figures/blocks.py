"""The figure of a group of lines, such as one for each block of a model: a heat map, and beside it each radius."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from safebasin.records import Landscape, Panel
from safebasin.report.colors import OUTCOME_COLORS
from safebasin.report.curves import axis_label, mean_values, rate_name
from safebasin.report.figures.canvas import grid_canvas, name_figure, shortened
from safebasin.report.figures.planes import asr_scale
from safebasin.report.layout import Group, model_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_group"]

_INK, _BASIN = "#222222", OUTCOME_COLORS["refusal"]
_FEW = 9
"""Coordinates of which each has a tick."""


def draw_group(landscape: Landscape, group: Group) -> Figure:
    """Mean ASR by line and α, on the color scale of every map, and the radius of each line with its interval."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    names = [shortened(panel.region.name, 26) for panel in group.panels]
    height = 2.5 + 0.27 * len(names)
    figure, ((heat, radii),) = grid_canvas(1, 2, (7.4, height), widths=(1.9, 1))
    _draw_heat(heat, group)
    _draw_radii(radii, group.panels)
    heat.set_yticks(range(len(names)), names)
    radii.set_yticks(range(len(names)), [""] * len(names))
    for axes in (heat, radii):
        axes.set_ylim(len(names) - 0.5, -0.5)
    heat.set_xlabel(axis_label(group.panels[0].axis))
    heat.set_title(f"mean {rate_name(group.panels[0])}", fontsize=9)
    radii.set_xlabel("radius (|α| at 50%)")
    radii.set_title("radius, 95% interval", fontsize=9)
    mapped = ScalarMappable(norm=Normalize(0, 100), cmap=asr_scale())
    bar = figure.colorbar(mapped, ax=[heat], location="bottom", ticks=range(0, 101, 25), pad=0.02, aspect=30)
    bar.set_label(f"{rate_name(group.panels[0])} (%) by {shortened(group.panels[0].judge, 40)}")
    system = "" if group.system == "default" else f" · system: {group.system}"
    name_figure(figure, f"{model_name(landscape.model)} · {group.name} · {group.prompts}{system}")
    _name_radii(radii)
    return figure


def _draw_heat(axes: Axes, group: Group) -> None:
    import numpy as np

    alphas = group.alphas
    rows = [mean_values(panel, panel.judge, alphas) for panel in group.panels]
    values = 100 * np.asarray(rows, dtype=np.float64)
    axes.set_facecolor("#E4E4E4")
    edges = _edges(alphas)
    axes.pcolormesh(
        edges, np.arange(len(group.panels) + 1) - 0.5, np.ma.masked_invalid(values),
        cmap=asr_scale(), vmin=0, vmax=100, edgecolors="white", linewidth=0.3,
    )  # fmt: skip
    axes.set_xlim(edges[0], edges[-1])
    if len(alphas) <= _FEW:
        axes.set_xticks(alphas)  # no tick where nothing was asked
    axes.axvline(0, color="white", linewidth=1.2, linestyle=(0, (1, 2)))
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _edges(alphas: Sequence[float]) -> list[float]:
    """The borders of the cells around the coordinates."""
    if len(alphas) < 2:
        return [alphas[0] - 0.5, alphas[0] + 0.5]
    middles = [(a + b) / 2 for a, b in pairwise(alphas)]
    return [2 * alphas[0] - middles[0], *middles, 2 * alphas[-1] - middles[-1]]


def _draw_radii(axes: Axes, panels: Sequence[Panel]) -> None:
    reach = max(abs(alpha) for panel in panels for alpha in panel.axis.alphas) or 1.0
    for row, panel in enumerate(panels):
        radius = panel.summary.get("radius")
        if radius is None or radius.value is None:
            axes.text(0.02 * reach, row, "not known", va="center", fontsize=7.5, color="#555555")
            continue
        censored = bool(radius.n_censored)
        if radius.low is not None and radius.high is not None:
            axes.plot([radius.low, radius.high], [row, row], color=_INK, linewidth=1.4, solid_capstyle="butt")
        if censored:
            axes.annotate("", (min(radius.value + 0.14 * reach, 1.12 * reach), row), (radius.value, row),
                          arrowprops={"arrowstyle": "->", "color": _BASIN, "linewidth": 1.4})  # fmt: skip
        axes.plot([radius.value], [row], marker="D", markersize=5, color=_BASIN, mfc="white" if censored else _BASIN)
    axes.set_xlim(0, 1.15 * reach)
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)


def _name_radii(axes: Axes) -> None:
    from matplotlib.transforms import ScaledTranslation

    style = {"marker": "D", "markersize": 5, "color": _BASIN, "linestyle": "none"}
    axes.plot([], [], label="radius", **style)
    axes.plot([], [], mfc="white", label="lower bound: a side never crosses", **style)
    figure = axes.get_figure(root=True)
    assert figure is not None
    below = axes.transAxes + ScaledTranslation(0, -0.5, figure.dpi_scale_trans)  # inches, whatever the height
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, 0), bbox_transform=below, fontsize=7.5)
