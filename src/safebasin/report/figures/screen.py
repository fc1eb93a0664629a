"""The figure of a screen: where each tuned model moved, by block, and in how many directions.

Reads the document `screen.json` as plain values; nothing here measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safebasin.report.figures.canvas import STYLE, grid_canvas, name_below, name_figure, save, shortened, svg_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SHOWN", "draw_screen", "save_screen_figure", "screen_svg", "short_names"]

SHOWN = 6
"""Models that are drawn, the first of the order; more could not be told apart."""
_COLORS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#222222")
_MARKERS = ("o", "s", "^", "D", "v", "x")


def save_screen_figure(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write the figure `screen` into a folder."""
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        return save(draw_screen(document), folder / "screen")


def screen_svg(document: Mapping[str, Any]) -> bytes:
    """The figure as an SVG file."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        return svg_of(draw_screen(document))


def draw_screen(document: Mapping[str, Any]) -> Figure:
    """Distance by block, stable rank by block, and the leading singular values.

    Args:
        document: `screen.json` as plain values.
    """
    figure, grid = grid_canvas(3, 1, (6.6, 8.0))
    moved, ranks, spectrum = (row[0] for row in grid)
    names = short_names(document)
    for model, color, marker in zip(document["models"][:SHOWN], _COLORS, _MARKERS, strict=False):
        blocks = model["blocks"]
        places = range(len(blocks))
        style = {"color": color, "marker": marker, "markersize": 3.5, "linewidth": 1.3}
        label = shortened(names[model["name"]], 40)
        moved.plot(places, [100 * block["relative"] for block in blocks], label=label, **style)
        held = [(place, block["stable_rank"]) for place, block in zip(places, blocks, strict=True)]
        held = [(place, rank) for place, rank in held if rank is not None]
        ranks.plot([place for place, _ in held], [rank for _, rank in held], **style)
        values = _mean_spectrum(blocks)
        spectrum.plot(range(1, len(values) + 1), values, **style)
    blocks = [block["name"] for block in document["models"][0]["blocks"]]
    every = max(1, len(blocks) // 16)
    for axes in (moved, ranks):
        axes.set_xticks(range(0, len(blocks), every), [shortened(name, 14) for name in blocks[::every]], rotation=40,
                        ha="right", fontsize=7)  # fmt: skip
    moved.set_ylabel("moved, % of ‖θ₀‖")
    ranks.set_ylabel("stable rank of ΔW")
    ranks.set_ylim(bottom=0)
    spectrum.set_ylabel("σᵢ / ‖ΔW‖")
    spectrum.set_xlabel("singular value i, mean over linear layers by their part of ‖Δ‖²")
    spectrum.set_ylim(0, 1.02)
    name_figure(figure, f"What was tuned of {document['base']}")
    name_below(figure)
    return figure


def short_names(document: Mapping[str, Any]) -> dict[str, str]:
    """Name as in the document → its last part, where no other model has the same; no local path for a title."""
    every = [*(model["name"] for model in document["models"]), *document["failed"]]
    last = {name: name.rstrip("/").rpartition("/")[2] for name in every}
    return {name: short if list(last.values()).count(short) == 1 else name for name, short in last.items()}


def _mean_spectrum(blocks: list[Mapping[str, Any]]) -> list[float]:
    held = [block for block in blocks if block["spectrum"]]
    total = sum(block["share"] for block in held)
    n = max((len(block["spectrum"]) for block in held), default=0)
    rows = [(block["share"] / total, [*block["spectrum"], *[0.0] * n][:n]) for block in held if total]
    return [sum(weight * row[i] for weight, row in rows) for i in range(n)]
