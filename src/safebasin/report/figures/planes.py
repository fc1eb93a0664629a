"""Figures of planes: ASR as a contour map with the 50% rim, the origin, the targets and the paths of training runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from safebasin.records import Landscape, Panel, Trajectory
from safebasin.report.colors import ASR_SCALE, SERIES_COLORS
from safebasin.report.curves import plane_labels, rate_name
from safebasin.report.explanations import interval_words, value_words
from safebasin.report.figures.canvas import (
    PATH_COLORS,
    PATH_MARKERS,
    canvas,
    grid_canvas,
    name_below,
    name_figure,
    panel_name,
    shortened,
)
from safebasin.report.layout import Overlay, model_name, trajectories
from safebasin.report.surfaces import Surface, is_interpolated, mean_surface, surfaces, target_marks
from safebasin.report.trajectories import labeled_steps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["asr_scale", "draw_plane", "draw_plane_multiples", "draw_plane_on", "draw_rim", "draw_rims"]

_LIMIT = 50
_LEVELS = tuple(range(0, 101, 5))


def draw_plane(landscape: Landscape, panel: Panel, *, direction: int | None = None) -> Figure:
    """ASR over the plane by the judge behind the statistics.

    Args:
        landscape: of the panel.
        panel: whose region has two axes.
        direction: number of the plane; None draws the mean over planes, with the rim of each.
    """
    figure, axes = canvas((6.6, 5.4))
    name_figure(figure, panel_name(landscape, panel))
    draw_plane_on(axes, landscape, panel, direction=direction)
    name_below(figure)
    return figure


def draw_plane_on(axes: Axes, landscape: Landscape, panel: Panel, *, direction: int | None = None) -> None:
    """The same on axes that are there, without title and legend; the scale stands beside them."""
    own = surfaces(panel, panel.judge)
    surface = mean_surface(panel, panel.judge) if direction is None else None
    surface = surface or next((s for s in own if s.direction == direction), None)
    _name_axes(axes, panel, plane_labels(panel, direction))
    if surface is None:
        axes.text(0.5, 0.5, "nothing measured yet", transform=axes.transAxes, ha="center")
        return
    _draw_surface(axes, surface)
    if not surface.n_gaps and (n_gaps := sum(other.n_gaps for other in own)) and direction is None:
        axes.plot([], [], " ", label=f"{n_gaps} of {len(own) * surface.size} points not measured: out of the mean")
    for other in own if direction is None and len(own) > 1 else ():
        draw_rim(axes, other, color="white", width=0.8)
    has_rim = draw_rim(axes, surface, color="black", width=1.8, casing="white")
    _draw_measured(axes, panel, surface)
    _draw_marks(axes, panel)
    for number, path in enumerate(_paths(landscape, panel, direction)):
        _draw_path(axes, path, number)
    _name_rim(axes, panel, surface, len(own), has_rim=has_rim)
    figure = axes.get_figure(root=True)
    assert figure is not None
    _add_scale(figure, [axes], panel)


def draw_plane_multiples(landscape: Landscape, panels: Sequence[tuple[str, Panel, int | None]], title: str) -> Figure:
    """Several planes side by side, on one color scale.

    Args:
        landscape: of the panels, for the title.
        panels: (name, panel, number of the plane or None for the mean).
        title: what differs.
    """
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure, grid = grid_canvas(rows, columns, (2.6 * columns + 1.2, 2.7 * rows + 0.6))
    every = [axes for row in grid for axes in row]
    for axes in every[len(panels) :]:
        axes.remove()
    for axes, (name, panel, direction) in zip(every, panels, strict=False):
        own = surfaces(panel, panel.judge)
        surface = mean_surface(panel, panel.judge) if direction is None else own[direction]
        axes.set_title(shortened(name, 30), fontsize=9)
        _name_axes(axes, panel, ("α", "β"))
        if surface is None:
            axes.text(0.5, 0.5, "nothing measured yet", transform=axes.transAxes, ha="center")
            continue
        _draw_surface(axes, surface)
        draw_rim(axes, surface, color="black", width=1.4, casing="white")
        axes.plot([0], [0], marker="X", markersize=6, mfc="white", mec="black", linestyle="none")
    _add_scale(figure, every[: len(panels)], panels[0][1])
    name_figure(figure, f"{model_name(landscape.model)} · {title}")
    return figure


def draw_rims(landscape: Landscape, overlay: Overlay) -> Figure:
    """The 50% rims of several panels of one plane over each other: basin over basin."""
    figure, axes = canvas((6.0, 5.2))
    for number, panel in enumerate(overlay.panels):
        color = SERIES_COLORS[number % len(SERIES_COLORS)]
        surface = mean_surface(panel, panel.judge)
        drawn = surface is not None and draw_rim(axes, surface, color=color, width=1.8)
        radius = panel.summary.get("radius")
        words = "" if radius is None else f", radius {value_words('radius', radius)}"
        name = shortened(overlay.name_of(panel), 34) + (words if drawn else ": no rim in the range")
        axes.plot([], [], color=color, linewidth=1.8, label=name)
    _draw_marks(axes, overlay.panels[0])
    _name_axes(axes, overlay.panels[0], plane_labels(overlay.panels[0]))
    alphas, betas = (axis.alphas for axis in overlay.region.axes)
    axes.set_xlim(min(0.0, *alphas), max(0.0, *alphas))
    axes.set_ylim(min(0.0, *betas), max(0.0, *betas))
    name_figure(figure, f"{model_name(landscape.model)} · 50% rims · {overlay.title}")
    name_below(figure)
    return figure


def _name_axes(axes: Axes, panel: Panel, names: tuple[str, str]) -> None:
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    widths = [max(0.0, *axis.alphas) - min(0.0, *axis.alphas) for axis in panel.region.axes]
    if all(widths) and 0.5 <= widths[0] / widths[1] <= 2:
        axes.set_aspect("equal")


def _draw_surface(axes: Axes, surface: Surface) -> None:
    """Filled contours; gaps show the hatched ground."""
    import numpy as np
    from matplotlib.patches import Rectangle

    values = 100 * np.asarray(surface.asr, dtype=np.float64)
    x, y = surface.alphas, surface.betas
    low, high = (min(0.0, *x), min(0.0, *y)), (max(0.0, *x), max(0.0, *y))
    if surface.n_gaps:
        style: dict[str, Any] = {"facecolor": "#EDEDED", "edgecolor": "#BBBBBB", "hatch": "///", "linewidth": 0}
        label = f"not measured: {surface.n_gaps} of {surface.size} points"
        axes.add_patch(Rectangle(low, high[0] - low[0], high[1] - low[1], zorder=0, label=label, **style))
    if min(values.shape) > 1:
        axes.contourf(x, y, np.ma.masked_invalid(values), levels=_LEVELS, cmap=asr_scale(), vmin=0, vmax=100, zorder=1)
    span = (high[0] - low[0] or 1.0, high[1] - low[1] or 1.0)
    axes.set_xlim(low[0] - 0.01 * span[0], high[0] + 0.01 * span[0])
    axes.set_ylim(low[1] - 0.01 * span[1], high[1] + 0.01 * span[1])


def draw_rim(axes: Axes, surface: Surface, *, color: str, width: float, casing: str = "") -> bool:
    """The line where ASR crosses 50%; whether there is one."""
    import numpy as np

    values = 100 * np.asarray(surface.asr, dtype=np.float64)
    known = values[~np.isnan(values)]
    if min(values.shape) < 2 or not known.size or not known.min() < _LIMIT < known.max():
        return False
    masked = np.ma.masked_invalid(values)
    if casing:
        axes.contour(
            surface.alphas, surface.betas, masked, levels=[_LIMIT], colors=casing, linewidths=width + 1.6, zorder=3
        )
    axes.contour(surface.alphas, surface.betas, masked, levels=[_LIMIT], colors=color, linewidths=width, zorder=3)
    return True


def _draw_measured(axes: Axes, panel: Panel, surface: Surface) -> None:
    """Dots where responses were judged: where the map between them is interpolated, or has gaps around them."""
    if not (is_interpolated(panel) or surface.n_gaps or min(len(surface.alphas), len(surface.betas)) < 2):
        return
    at = dict(zip(((a, b) for b in surface.betas for a in surface.alphas),
                  (value for row in surface.asr for value in row), strict=True))  # fmt: skip
    shown = [(a, b, at.get((a, b))) for a, b in surface.measured]
    axes.scatter(
        [a for a, _, _ in shown], [b for _, b, _ in shown], s=14, c=[100 * (v or 0.0) for _, _, v in shown],
        cmap=asr_scale(), vmin=0, vmax=100, edgecolors="white", linewidths=0.6, zorder=4,
        label=f"measured: {len(shown)} points" + (", else interpolated" if is_interpolated(panel) else ""),
    )  # fmt: skip


def _draw_marks(axes: Axes, panel: Panel) -> None:
    style: dict[str, Any] = {"linestyle": "none", "mfc": "white", "mec": "black", "zorder": 6, "clip_on": False}
    axes.plot([0], [0], marker="X", markersize=8, label="origin: the model itself", **style)
    for (alpha, beta, target), marker, size in zip(target_marks(panel), ("*", "P"), (13, 9), strict=False):
        name = shortened(target, 36)
        axes.plot([alpha], [beta], marker=marker, markersize=size, label=f"target: {name}", **style)
        (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
        axes.set_xlim(min(x0, alpha), max(x1, alpha))
        axes.set_ylim(min(y0, beta), max(y1, beta))


def _paths(landscape: Landscape, panel: Panel, direction: int | None) -> list[Trajectory]:
    """The trajectories that stand on this plane; on a mean of several planes none does."""
    shown = 0 if direction is None and panel.region.n_directions == 1 else direction
    return [t for t in trajectories(landscape, panel) if t.direction == shown]


def _draw_path(axes: Axes, path: Trajectory, number: int) -> None:
    from matplotlib.patheffects import withStroke

    color = PATH_COLORS[number % len(PATH_COLORS)]
    halo = withStroke(linewidth=2.4, foreground="white")
    x, y = ([step.coords[i] for step in path.steps] for i in (0, 1))
    worst = max(step.residual for step in path.steps)
    axes.plot(
        x, y, color=color, linewidth=1.6, marker=PATH_MARKERS[number % 3], markersize=4.5, path_effects=[halo],
        zorder=5,
        label=f"{shortened(path.name, 24)}, numbers: epochs\n(up to {100 * worst:.0f}% of its move is off the plane)",
    )  # fmt: skip
    for step, words in labeled_steps(path, reach=max(abs(axes.get_xlim()[1] - axes.get_xlim()[0]), 1e-9)):
        axes.annotate(
            shortened(words, 14), (step.coords[0], step.coords[1]), xytext=(5, 4), textcoords="offset points",
            fontsize=7.5, color="#222222", path_effects=[halo], zorder=7,
        )  # fmt: skip
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    axes.set_xlim(min(x0, *x), max(x1, *x))
    axes.set_ylim(min(y0, *y), max(y1, *y))


def _name_rim(axes: Axes, panel: Panel, surface: Surface, n_planes: int, *, has_rim: bool) -> None:
    from matplotlib.patheffects import withStroke

    radius = panel.summary.get("radius")
    words = "" if radius is None or radius.value is None else f", radius {value_words('radius', radius)}"
    words += f" {interval_words('radius', radius)}" if words and radius is not None else ""
    halo = [withStroke(linewidth=3.4, foreground="white")]
    name = f"50% rim{f', {surface.name}' if n_planes > 1 and surface.direction < 0 else ''}{words}"
    if has_rim:
        axes.plot([], [], color="black", linewidth=1.8, path_effects=halo, label=name.rstrip())
    if n_planes > 1 and surface.direction < 0:
        dark = [withStroke(linewidth=2.2, foreground="#777777")]
        axes.plot([], [], color="white", linewidth=0.8, path_effects=dark, label="50% rim of each plane")


def _add_scale(figure: Figure, every: Sequence[Axes], panel: Panel) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    mapped = ScalarMappable(norm=Normalize(0, 100), cmap=asr_scale())
    bar = figure.colorbar(mapped, ax=list(every), ticks=range(0, 101, 25), shrink=0.9, pad=0.02)
    bar.set_label(f"{rate_name(panel)} (%) by {shortened(panel.judge, 40)}")
    bar.ax.axhline(_LIMIT, color="black", linewidth=1.8)


def asr_scale() -> Any:
    """The colormap of ASR: a matplotlib colormap."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("asr", ASR_SCALE)
