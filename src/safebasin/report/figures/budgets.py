"""The figure of a stress test: a row a defense, a column a kind of budget, where it breaks with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safebasin.report.budgets import BUDGETS
from safebasin.report.colors import SERIES_COLORS
from safebasin.report.figures.canvas import STYLE, grid_canvas, name_figure, save, shortened, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["budgets_svg", "draw_budgets", "save_budgets_figure"]


def save_budgets_figure(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write `budgets.png`, `.svg`, `.pdf`, and its data as `.csv`."""
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        return save(draw_budgets(document), folder / "budgets")


def budgets_svg(document: Mapping[str, Any]) -> bytes:
    """The figure as an SVG file."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        return svg_of(draw_budgets(document))


def draw_budgets(document: Mapping[str, Any]) -> Figure:
    """The smallest budgets; steps on a scale that doubles. An open triangle is the largest that was tried.

    Args:
        document: `defenses.json` as plain values.
    """
    arms = document["arms"][1:]
    figure, (row,) = grid_canvas(1, len(BUDGETS), (10.5, 1.5 + 0.36 * len(arms)))
    for axes, (name, (title, _)) in zip(row, BUDGETS.items(), strict=True):
        budgets = [next((b for b in arm["budgets"] if b["name"] == name), None) for arm in arms]
        for number, budget in enumerate(budgets):
            if budget is not None and budget["smallest"] is not None and budget["smallest"]["value"] is not None:
                _draw(axes, number, budget)
        _scale(axes, name, [amount for budget in budgets if budget for amount in budget["amounts"]])
        axes.set_title(title, fontsize=9)
        axes.set_yticks(range(len(arms)), [])
        axes.set_ylim(len(arms) - 0.5, -0.5)
        axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
        axes.set_axisbelow(True)
    row[0].set_yticks(range(len(arms)), [shortened(arm["name"], 40) for arm in arms])
    name_figure(figure, f"What breaks it · {document['base']} · {document['attack']}")
    return figure


def _draw(axes: Axes, number: int, budget: Mapping[str, Any]) -> None:
    found = budget["smallest"]
    last = max([found["value"], *budget["amounts"]])
    color = "#555555" if number < 1 else SERIES_COLORS[(number - 1) % len(SERIES_COLORS)]
    low = found["low"]
    high = last if low is not None and found["high"] is None else found["high"]
    if low is not None and high is not None:
        axes.plot([low, high], [number, number], color=color, linewidth=1.6)
    is_censored = bool(found["n_censored"])
    axes.plot(
        [found["value"]], [number], marker=">" if is_censored else "D", markersize=6.5 if is_censored else 5.5,
        color=color, markerfacecolor="white" if is_censored else color, linestyle="none", clip_on=False,
    )  # fmt: skip


def _scale(axes: Axes, name: str, amounts: list[float]) -> None:
    """Steps double along their axis, from 0 on; shares are even."""
    most = max(amounts, default=0.0)
    if name in ("steps", "more_steps"):
        ticks = sorted(set(amounts)) or [0.0]
        axes.set_xscale("symlog", base=2, linthresh=1, linscale=1)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlim(-0.2, max(most, 1) * 1.25)
    elif name != "radius":
        axes.set_xlim(-0.03, 1.03)
