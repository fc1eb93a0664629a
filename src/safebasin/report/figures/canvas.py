"""What every figure shares: style, paper, title, and files that are the same bytes for the same landscape."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safebasin.records import Landscape, Panel
from safebasin.report.curves import Curve
from safebasin.report.figures.data import csv_of
from safebasin.report.layout import model_name
from safebasin.report.sanitize import visible
from safebasin.writing import write_bytes

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

__all__ = [
    "PATH_COLORS",
    "PATH_MARKERS",
    "STYLE",
    "canvas",
    "drawable",
    "grid_canvas",
    "judge_name",
    "name_below",
    "name_figure",
    "panel_name",
    "save",
    "shortened",
    "svg_of",
]

STYLE: dict[RcKeyType, object] = {
    "svg.hashsalt": "safebasin",
    "svg.fonttype": "none",  # text that a paper's editor can search and set anew
    "pdf.fonttype": 42,  # whole fonts, which publishers ask for
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "text.parse_math": False,  # a model's name may hold a $
}
SIZE = (6.6, 4.2)
"""Inches."""
_DPI = 200
_CHARACTER, _HANDLE = 0.078, 0.6
"""Inches that a character of a legend takes, about, and what stands before its text."""

PATH_COLORS = ("#CC79A7", "#D55E00", "#009E73")
PATH_MARKERS = ("o", "s", "^")
"""Of the paths of training runs, in order."""


def canvas(size: tuple[float, float] = SIZE) -> tuple[Figure, Axes]:
    """A figure with one pair of axes, without a screen."""
    figure, rows = grid_canvas(1, 1, size)
    return figure, rows[0][0]


def grid_canvas(
    n_rows: int, n_columns: int, size: tuple[float, float], *, widths: Sequence[float] = (), share_x: bool = False
) -> tuple[Figure, list[list[Axes]]]:
    """A figure with a grid of axes, without a screen.

    Args:
        n_rows: rows of axes.
        n_columns: columns of axes.
        size: inches.
        widths: relative widths of the columns; equal if empty.
        share_x: whether all axes span the same x.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    ratios = list(widths) or None
    axes = figure.subplots(n_rows, n_columns, squeeze=False, width_ratios=ratios, sharex=share_x)
    return figure, axes.tolist()


def save(
    figure: Figure, stem: Path, rows: Sequence[Mapping[str, object]] | None = None, svg: bytes | None = None
) -> list[Path]:
    """Write the figure as PNG, SVG and PDF, without a date, and its data as CSV.

    Args:
        figure: drawn to be saved; laid out once, for all files.
        stem: path of the files, without what tells their kinds.
        rows: of the CSV; the lines and points that are drawn if None.
        svg: the SVG file, if it was made already.
    """
    svg = svg_of(figure) if svg is None else svg
    figure.set_layout_engine("none")  # laying out what keeps its place is a fifth of the time of a file
    png, pdf = io.BytesIO(), io.BytesIO()
    figure.savefig(png, format="png", dpi=_DPI, metadata={"Software": None})
    figure.savefig(pdf, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
    data = {
        "png": png.getvalue(),
        "svg": svg,
        "pdf": pdf.getvalue(),
        "csv": csv_of(_drawn(figure) if rows is None else rows),
    }
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in data]
    for path, content in zip(paths, data.values(), strict=True):
        write_bytes(path, content)
    return paths


def _drawn(figure: Figure) -> list[dict[str, object]]:
    """The lines and points of a figure as rows: where, of what, x and y."""
    found: list[dict[str, object]] = []
    for number, axes in enumerate(figure.axes):
        places: list[tuple[object, Any]] = [(line.get_label(), line.get_xydata()) for line in axes.lines]
        places += [(dots.get_label(), dots.get_offsets()) for dots in axes.collections]
        for label, points in places:
            series = "" if str(label).startswith("_") else str(label).replace("\n", " ")
            at = {"axes": number, "x_name": axes.get_xlabel(), "y_name": axes.get_ylabel(), "series": series}
            found += [{**at, "x": float(x), "y": float(y)} for x, y in points]
    return found


def svg_of(figure: Figure) -> bytes:
    """The figure as an SVG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def name_figure(figure: Figure, text: str) -> None:
    """A title over the whole figure, cut to its width."""
    room = int(10 * figure.get_figwidth())
    figure.suptitle(shortened(text, room), x=0.01, ha="left", fontsize=10, fontweight="bold")


def name_below(figure: Figure, handles: Sequence[Artist] = (), labels: Sequence[str] = ()) -> None:
    """A legend under the figure, of all its axes if none is given, in as many columns as fit, its lines cut."""
    if not handles:
        named = [axes.get_legend_handles_labels() for axes in figure.axes]
        handles = [handle for found, _ in named for handle in found]
        labels = [label for _, found in named for label in found]
    if not handles:
        return
    room = int((figure.get_figwidth() - _HANDLE) / _CHARACTER)  # else a judge with a long name leaves no axes
    names = ["\n".join(shortened(line, room) for line in label.split("\n")) for label in labels]
    longest = max(len(line) for name in names for line in name.split("\n"))
    columns = 2 if 2 * (_CHARACTER * longest + _HANDLE) <= figure.get_figwidth() else 1
    legend = figure.legend(list(handles), names, loc="outside lower center", ncols=columns, handlelength=2.0)
    for handle, label in zip(legend.legend_handles, labels, strict=True):
        if handle is not None:
            handle.set_label(label)  # whole, for a legend that is made anew in another width or language


def panel_name(landscape: Landscape, panel: Panel) -> str:
    """Model, prompt set, and region and system prompt where they tell it from others: the title of a figure."""
    text = f"{model_name(landscape.model)} · {panel.prompts}"
    if len({p.region for p in landscape.panels}) > 1:
        text = f"{model_name(landscape.model)} · {panel.region.name} · {panel.prompts}"
    return shortened(text if panel.system == "default" else f"{text} · system: {panel.system}", 120)


def judge_name(judge: str) -> str:
    """A judge's name, short enough for a legend of two columns: one that asks a model names it, and its address."""
    return shortened(judge, 28)


def shortened(text: str, longest: int = 62) -> str:
    """One line of text that others wrote, safe to draw and cut in the middle where it is too long."""
    text = visible(text).replace("\n", " ")
    head = (longest - 2) // 2
    return text if len(text) <= longest else text[:head] + " … " + text[head + 3 - longest :]


def drawable(curve: Curve) -> tuple[list[float], list[float], list[float], list[float]]:
    """α, and ASR, low and high in percent, as matplotlib takes them: NaN, where a line breaks, for what is missing."""
    xs, *values = curve.with_gaps()
    asr, low, high = ([math.nan if v is None else 100 * v for v in column] for column in values)
    return xs, asr, low, high
