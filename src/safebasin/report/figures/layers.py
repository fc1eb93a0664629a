"""The figure of located layers: cosine by layer, the angle gap with intervals, and over-refusal of candidate bands.

Reads the document `layers.json` as plain values; nothing here locates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safebasin.report.colors import SERIES_COLORS
from safebasin.report.figures.canvas import STYLE, grid_canvas, name_figure, save, shortened, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_layers", "layers_svg", "save_layers_figure"]

_BAND = "#E4E7EA"
_MARKERS = ("o", "s", "^")
_CONTROL = "#767676"


def save_layers_figure(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write `layers.png`, `.svg`, `.pdf`, and its data as `.csv`."""
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        return save(draw_layers(document), folder / "layers")


def layers_svg(document: Mapping[str, Any]) -> bytes:
    """The figure as an SVG file."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        return svg_of(draw_layers(document))


def draw_layers(document: Mapping[str, Any]) -> Figure:
    """Cosine, angle gap, and where there was scaling over-refusal of its candidates; the band is shaded.

    Args:
        document: `layers.json` as plain values.
    """
    from matplotlib.ticker import MaxNLocator

    rows = 3 if document["scaling"] else 2
    figure, grid = grid_canvas(rows, 1, (6.6, 2.5 * rows + 0.4))
    curves, band = document["curves"], document["band"]
    layers = range(document["n_layers"])
    for (axes,) in grid[:2]:
        if band is not None:
            axes.axvspan(band["first"] - 0.5, band["last"] + 0.5, color=_BAND, linewidth=0)
        axes.set_xlim(-0.6, document["n_layers"] - 0.4)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _draw_cosines(grid[0][0], layers, curves)
    _draw_gaps(grid[1][0], layers, document)
    if document["scaling"]:
        _draw_scaling(grid[2][0], document["scaling"])
    name_figure(figure, str(document["model"]))
    return figure


def _draw_cosines(axes: Axes, layers: Sequence[int], curves: Mapping[str, Any]) -> None:
    for number, (kind, means) in enumerate(curves["cosine"].items()):
        color, spread = SERIES_COLORS[number], curves["spread"][kind]
        low, high = ([m + s * d for m, d in zip(means, spread, strict=True)] for s in (-1, 1))
        axes.fill_between(list(layers), low, high, color=color, alpha=0.13, linewidth=0)
        axes.plot(list(layers), means, color=color, marker=_MARKERS[number], markersize=3, linewidth=1.4, label=kind)
    axes.set_ylabel("cosine (± s.d. of pairs)")
    axes.legend(loc="lower left", fontsize=7.5)


def _draw_gaps(axes: Axes, layers: Sequence[int], document: Mapping[str, Any]) -> None:
    sides = [("", document["curves"], SERIES_COLORS[2])]
    if document["control"] is not None:
        sides.append((f" of {shortened(document['control_model'], 34)}", document["control"], _CONTROL))
    for of, curves, color in sides:
        for curve, line, marker in (("angle_gap", "-", "o"), ("contrast", "--", "s")):
            found = curves[curve]
            axes.fill_between(list(layers), [e["low"] for e in found], [e["high"] for e in found], color=color,
                              alpha=0.15, linewidth=0)  # fmt: skip
            axes.plot(list(layers), [e["value"] for e in found], color=color, marker=marker, markersize=3,
                      linewidth=1.6, linestyle=line, label=curve.replace("_", " ") + of)  # fmt: skip
    axes.axhline(0, color="#222222", linewidth=0.8, linestyle=(0, (1, 2)))
    axes.set_ylabel("degrees")
    axes.set_xlabel("layer")
    axes.legend(loc="upper left", fontsize=7.5)


def _draw_scaling(axes: Axes, scaling: Mapping[str, Any]) -> None:
    labels: list[str] = []
    for number, sweep in enumerate(scaling["sweeps"]):
        for candidate in sweep["candidates"]:
            place, rate, is_best = len(labels), candidate["refused"], candidate["band"] == sweep["chosen"]
            labels.append(f"{candidate['band']['first']}–{candidate['band']['last']}")
            if rate["value"] is None:
                continue
            color = SERIES_COLORS[number]
            axes.plot([place, place], [100 * rate["low"], 100 * rate["high"]], color=color, linewidth=1.4)
            axes.plot([place], [100 * rate["value"]], marker="D" if is_best else "o", color=color, linestyle="none",
                      markersize=7 if is_best else 4.5)  # fmt: skip
        if number == 0:
            axes.axvline(len(labels) - 0.5, color="#DDDDDD", linewidth=0.8)
    if scaling["plain"]["value"] is not None:
        axes.axhline(100 * scaling["plain"]["value"], color="#222222", linewidth=0.8, linestyle=(0, (1, 2)))
    axes.set_xticks(range(len(labels)), labels)
    axes.set_ylabel("over-refusal (%)")
    axes.set_xlabel(f"layers times {scaling['factor']:g}; diamonds: chosen; dotted: as the model is")
