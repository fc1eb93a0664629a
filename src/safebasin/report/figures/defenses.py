"""The figure of a comparison of defenses: a row an arm, a column a measure, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safebasin.report.colors import SERIES_COLORS
from safebasin.report.figures.canvas import STYLE, grid_canvas, name_figure, save, shortened, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["defenses_svg", "draw_defenses", "save_defenses_figure"]

_PANELS = (
    ("asr", "attack success (%)"),
    ("over_refusal", "over-refusal (%)"),
    ("capability", "capability (%)"),
)


def save_defenses_figure(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write `defenses.png`, `.svg`, `.pdf`, and its data as `.csv`."""
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        return save(draw_defenses(document), folder / "defenses")


def defenses_svg(document: Mapping[str, Any]) -> bytes:
    """The figure as an SVG file."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        return svg_of(draw_defenses(document))


def draw_defenses(document: Mapping[str, Any]) -> Figure:
    """Attack success, over-refusal, capability and headroom; the thin line is that of no defense.

    Args:
        document: `defenses.json` as plain values.
    """
    arms = document["arms"]
    figure, (row,) = grid_canvas(1, 4, (10.5, 1.5 + 0.36 * len(arms)))
    for axes, (name, title) in zip(row[:3], _PANELS, strict=True):
        held = [next((m["share"] for m in arm["measures"] if m["name"] == name), None) for arm in arms]
        points = [_scaled(estimate, 100) for estimate in held]
        _draw(axes, points, title)
        axes.set_xlim(-3, 103)
    _draw(row[3], [_scaled(arm["headroom"], 1) for arm in arms], "headroom (α)")
    row[3].axvline(0, color="#222222", linewidth=0.8, linestyle=(0, (1, 2)))
    for axes in row:
        axes.set_yticks(range(len(arms)), [])
        axes.set_ylim(len(arms) - 0.5, -0.5)
        axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
        axes.set_axisbelow(True)
    row[0].set_yticks(range(len(arms)), [shortened(arm["name"], 40) for arm in arms])
    name_figure(figure, f"{document['base']} · {document['attack']}")
    return figure


def _scaled(found: Mapping[str, Any] | None, by: float) -> tuple[float, float | None, float | None] | None:
    if found is None or found["value"] is None:
        return None
    low, high = found["low"], found["high"]
    return by * found["value"], None if low is None else by * low, None if high is None else by * high


def _draw(axes: Axes, points: list[tuple[float, float | None, float | None] | None], title: str) -> None:
    for number, point in enumerate(points):
        if point is None:
            continue
        value, low, high = point
        color = "#555555" if number < 2 else SERIES_COLORS[(number - 2) % len(SERIES_COLORS)]
        if low is not None and high is not None:
            axes.plot([low, high], [number, number], color=color, linewidth=1.6)
        axes.plot([value], [number], marker="D", markersize=5.5, color=color, linestyle="none")
    if len(points) > 1 and points[1] is not None:
        axes.axvline(points[1][0], color="#999999", linewidth=0.8)
    axes.set_title(title, fontsize=9)
