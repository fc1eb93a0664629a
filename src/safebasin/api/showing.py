"""Frames and plots of results that lie below what draws them: a landscape by itself, a model that was trained.

Those that have `to_frame()` and `plot()` of their own (`Mapped`, `Compared`, `Audited`, …) need none of this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from safebasin.api.requests import checks_keywords
from safebasin.errors import UsageError, expected
from safebasin.records import Landscape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

    from safebasin.finetune.tune import Tuned
    from safebasin.report.figures.look import Limits

__all__ = ["plot_landscape", "plot_losses", "to_frame"]


@checks_keywords
def to_frame(result: Landscape | Tuned, table: Literal["points", "statistics"] = "points") -> DataFrame:
    """Make a frame of pandas: one table of a landscape, or the losses of a training.

    Args:
        result: a landscape, whose rates are fractions; or what `finetune` gave back: a row a step, in nats per token,
            `loss`, and `held_out` where it was read.
        table: of a landscape: `points`, a row a point and judge; or `statistics`, a row a statistic of each panel.

    Raises:
        UsageError: where there is no such table, or pandas is not installed.
    """
    from safebasin.finetune.tune import Tuned
    from safebasin.report.figures.data import point_rows
    from safebasin.report.frames import frame_of, loss_rows, statistic_rows

    if not isinstance(result, (Landscape, Tuned)):
        remedy = "What else a verb gives back has a method to_frame() where it has tables."
        raise UsageError(expected("result", "a Landscape, or what finetune gave back", result, remedy))
    if isinstance(result, Tuned):
        return frame_of(loss_rows(result.losses, result.eval_losses))
    if table not in ("points", "statistics"):
        raise UsageError(expected("table", "points or statistics", table, "Choose one of them."))
    return frame_of(point_rows(result.panels) if table == "points" else statistic_rows(result))


@checks_keywords
def plot_landscape(
    landscape: Landscape,
    kind: Literal["asr", "outcomes", "plane"] | None = None,
    *,
    panel: int = 0,
    ax: Axes | None = None,
    title: str | None = None,
    xlim: Limits | None = None,
    ylim: Limits | None = None,
    size: tuple[float, float] | None = None,
    labels: str = "en",
) -> Axes:
    """Draw a panel as the figures of the report have it; returns the axes.

    Args:
        landscape: whose panel it is.
        kind: `asr` or `outcomes` of a line, `plane` of a plane; the first that fits if None.
        panel: its number, from 0.
        ax: axes to draw on; new ones, of a figure that a notebook shows, if None.
        title: in place of model and prompt set.
        xlim: ends of the axis along α.
        ylim: ends of the axis of rates, in percent, or along β.
        size: of the new figure, in inches.
        labels: language, `en` or `de`.

    Raises:
        UsageError: where an argument does not fit the panel.
    """
    from safebasin.report.figures import plots

    return plots.plot_landscape(landscape, kind, panel, ax, size, plots.look_of(title, xlim, ylim, labels))


@checks_keywords
def plot_losses(
    tuned: Tuned,
    *,
    ax: Axes | None = None,
    title: str | None = None,
    xlim: Limits | None = None,
    ylim: Limits | None = None,
    size: tuple[float, float] | None = None,
    labels: str = "en",
) -> Axes:
    """Draw the loss of each step of a training, and that on held-out rows, in nats per token; returns the axes.

    Of what `finetune` gave back. The other arguments are those of `plot_landscape`.
    """
    from safebasin.report.figures import plots

    look = plots.look_of(title, xlim, ylim, labels)
    return plots.plot_losses(tuned.losses, tuned.eval_losses, tuned.base, tuned.method, ax, size, look)
