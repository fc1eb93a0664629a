"""The losses of a training run on axes that are there: of each step, and on rows that were held out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_losses_on"]


def draw_losses_on(axes: Axes, losses: Sequence[float], held_out: Sequence[tuple[int, float]]) -> None:
    """Draw the loss of each step, from step 1 on, and (step, loss) on held-out rows, in nats per token."""
    if losses:
        axes.plot(range(1, len(losses) + 1), losses, color="#0072B2", linewidth=1.3, label="rows trained on")
    if held_out:
        steps, values = zip(*held_out, strict=True)
        axes.plot(steps, values, color="#D55E00", marker="o", markersize=4, linewidth=1.3, label="held-out rows")
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats per token)")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper right")
