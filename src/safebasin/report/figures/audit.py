"""The metrics of an audit on axes that are there: how much worse each is with its bounds, beside its limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from safebasin.records import Estimate
from safebasin.report.figures.canvas import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ShownMetric", "draw_metrics_on"]

_COLORS = {"pass": "#009E73", "fail": "#D55E00", "undecided": "#E69F00", None: "#777777"}
"""Okabe and Ito's; a metric that decides nothing is gray."""


class ShownMetric(Protocol):
    """A metric, as far as it is drawn."""

    @property
    def name(self) -> str: ...
    @property
    def prompts(self) -> str: ...
    @property
    def difference(self) -> Estimate: ...
    @property
    def limit(self) -> float | None: ...
    @property
    def decision(self) -> str | None: ...


def draw_metrics_on(axes: Axes, metrics: Sequence[ShownMetric]) -> None:
    """Draw a row a metric, the first on top: the difference in points of percent, its one-sided bounds, the limit."""
    for row, metric in enumerate(metrics):
        color, found = _COLORS.get(metric.decision, "#777777"), metric.difference
        ends = [value for value in (found.low, found.value, found.high) if value is not None]
        if ends:
            axes.plot([100 * ends[0], 100 * ends[-1]], [row, row], color=color, linewidth=1.8)
        if found.value is not None:
            axes.plot([100 * found.value], [row], marker="D", markersize=5.5, color=color, linestyle="none")
        if metric.limit is not None:
            label = None if any(m.limit is not None for m in metrics[:row]) else "limit"
            axes.plot([100 * metric.limit] * 2, [row - 0.3, row + 0.3], color="black", linewidth=2.0, label=label)
    axes.axvline(0, color="#555555", linewidth=0.8, linestyle=(0, (2, 2)))
    axes.set_yticks(range(len(metrics)), [shortened(f"{m.name}, {m.prompts}", 36) for m in metrics])
    axes.set_ylim(len(metrics) - 0.5, -0.5)
    axes.set_xlabel("worse by, in points of percent")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper right")
