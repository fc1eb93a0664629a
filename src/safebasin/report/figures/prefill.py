"""The figure of forced beginnings: refusal behind them, and success of the whole answer, by how many tokens are forced.

Reads the document `prefill.json` as plain values; nothing here measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safebasin.report.figures.canvas import STYLE, grid_canvas, name_below, name_figure, save, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_prefill", "prefill_svg", "save_prefill_figure"]

COLORS = {"benign": "#0072B2", "harmful": "#D55E00"}
_MARKERS = {"benign": "s", "harmful": "o"}


def save_prefill_figure(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write `prefill.png`, `.svg`, `.pdf`, and its data as `.csv`."""
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        return save(draw_prefill(document), folder / "prefill")


def prefill_svg(document: Mapping[str, Any]) -> bytes:
    """The figure as an SVG file."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        return svg_of(draw_prefill(document))


def draw_prefill(document: Mapping[str, Any]) -> Figure:
    """Refused behind what is forced, and the judge's success of the whole, both sides each.

    Args:
        document: `prefill.json` as plain values.
    """
    figure, grid = grid_canvas(2, 1, (6.6, 5.8), share_x=True)
    _draw(grid[0][0], document, "refused", "refused behind it")
    _draw(grid[1][0], document, "success", "success of the whole")
    grid[1][0].set_xlabel("tokens of the answer that are forced")
    name_figure(figure, str(document["model"]))
    name_below(figure)
    return figure


def _draw(axes: Axes, document: Mapping[str, Any], key: str, label: str) -> None:
    every = sorted({after["tokens"] for found in document["sides"].values() for after in found})
    places = {tokens: place for place, tokens in enumerate(every)}  # even steps: 0, 1, 2, 4, 8 … would crowd
    for side, found in document["sides"].items():
        known = [after for after in found if after[key]["value"] is not None]
        xs = [places[after["tokens"]] for after in known]
        low, high = ([after[key][bound] for after in known] for bound in ("low", "high"))
        axes.fill_between(xs, low, high, color=COLORS[side], alpha=0.15, linewidth=0)
        axes.plot(xs, [after[key]["value"] for after in known], color=COLORS[side], marker=_MARKERS[side],
                  markersize=4, linewidth=1.5, label=f"{side} requests" if key == "refused" else None)  # fmt: skip
    axes.set_xticks(list(places.values()), [str(tokens) for tokens in every])
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel(label)
