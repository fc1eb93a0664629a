"""Results drawn on axes of matplotlib, one's own or new ones: what `plot` of a result does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from safebasin.errors import StudyError, UsageError, expected
from safebasin.report.figures.look import Limits, Look, set_limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from safebasin.records import Landscape, Panel
    from safebasin.report.figures.audit import ShownMetric

__all__ = ["Kind", "look_of", "plot_compared", "plot_landscape", "plot_losses", "plot_metrics", "plot_sweep"]

Kind = Literal["asr", "outcomes", "plane"]
Size = tuple[float, float]
"""Inches."""


def plot_landscape(
    landscape: Landscape, kind: Kind | None, number: int, ax: Axes | None, size: Size | None, look: Look
) -> Axes:
    """Draw a panel: see `Landscape.plot`."""
    panel = _panel(landscape, number)
    kind = kind or ("plane" if panel.region.is_plane else "asr")
    _check_kind(kind, panel)

    def draw(axes: Axes) -> None:
        from safebasin.report.figures.canvas import panel_name
        from safebasin.report.figures.lines import draw_asr_on, draw_outcomes_on
        from safebasin.report.figures.planes import draw_plane_on

        if kind == "plane":
            draw_plane_on(axes, landscape, panel)
            axes.set_title(panel_name(landscape, panel))
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16))
        else:
            (draw_asr_on if kind == "asr" else draw_outcomes_on)(axes, landscape, panel)

    return _drawn(draw, ax, size, look)


def plot_compared(landscapes: Sequence[Landscape], judge: str, ax: Axes | None, size: Size | None, look: Look) -> Axes:
    """Draw the first panels of several studies over each other: see `Compared.plot`."""

    def draw(axes: Axes) -> None:
        from safebasin.report.figures.comparison import draw_compared

        draw_compared(axes, landscapes, judge)
        axes.set_title(f"{landscapes[0].panels[0].prompts} · {judge}")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16))

    return _drawn(draw, ax, size, look)


def plot_metrics(metrics: Sequence[ShownMetric], title: str, ax: Axes | None, size: Size | None, look: Look) -> Axes:
    """Draw how much worse a tuned model is, metric by metric: see `plot_verdict`."""

    def draw(axes: Axes) -> None:
        from safebasin.report.figures.audit import draw_metrics_on

        draw_metrics_on(axes, metrics)
        axes.set_title(title)

    return _drawn(draw, ax, size, look, free=True)


def plot_sweep(document: Mapping[str, Any], number: int, ax: Axes | None, size: Size | None, look: Look) -> Axes:
    """Draw one table of `models.json`: see `Swept.plot`."""
    tables = document["tables"]
    if number not in range(len(tables)):
        names = ", ".join(f"{i} ({table['prompts']}, {table['judge']})" for i, table in enumerate(tables))
        raise UsageError(expected("table", f"the number of one: {names}", number, "Choose one of them."))

    def draw(axes: Axes) -> None:
        from safebasin.report.figures.sweep import draw_sweep_on

        draw_sweep_on(axes, tables[number])
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16))

    return _drawn(draw, ax, size, look, free=True)


def plot_losses(
    losses: Sequence[float], held_out: Sequence[tuple[int, float]], base: str, method: str, ax: Axes | None,
    size: Size | None, look: Look,
) -> Axes:  # fmt: skip
    """Draw the losses of a training run: see `Tuned.plot`."""

    def draw(axes: Axes) -> None:
        from safebasin.report.figures.canvas import shortened
        from safebasin.report.figures.training import draw_losses_on
        from safebasin.report.layout import model_name

        draw_losses_on(axes, losses, held_out)
        axes.set_title(shortened(f"{model_name(base)} · {method}"))

    return _drawn(draw, ax, size, look, free=True)


def _drawn(draw: Callable[[Axes], None], ax: Axes | None, size: Size | None, look: Look, *, free: bool = False) -> Axes:
    """Draw in our style on these axes or new ones, and give the look to what was added.

    `free` axes have no coordinate of a landscape: their limits are set as they come.
    """
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.text import Text

    from safebasin.report.figures.canvas import STYLE
    from safebasin.report.figures.labels import translate

    replace(look, size=size).check()
    if ax is not None and not isinstance(ax, Axes):
        raise UsageError(expected("ax", "axes of matplotlib", ax, "Take those of pyplot.subplots()."))
    if ax is not None and size is not None:
        raise UsageError(expected("size", "left out where ax is given", size, "Give the figure of ax its size."))
    with matplotlib.rc_context(STYLE):
        axes = _new_axes(size) if ax is None else ax
        figure: Any = axes.get_figure(root=True)
        before = set(figure.axes)
        draw(axes)
        added = [axes, *(other for other in figure.axes if other not in before)]
        for one in added:
            translate((text for text in one.findobj(Text) if isinstance(text, Text)), look.labels)
        if free:
            axes.set(
                **{name: limits for name, limits in (("xlim", look.xlim), ("ylim", look.ylim)) if limits is not None}
            )
        else:
            set_limits(look, axes)
        if look.title is not None:
            axes.set_title(look.title)
    return axes


def _new_axes(size: Size | None) -> Axes:
    """New axes that a notebook shows under its cell."""
    from matplotlib import pyplot

    _, axes = pyplot.subplots(figsize=size or (6.6, 4.6), layout="constrained")
    return axes


def _panel(landscape: Landscape, number: int) -> Panel:
    if number not in range(len(landscape.panels)):
        names = ", ".join(f"{i} ({p.region.name}, {p.prompts})" for i, p in enumerate(landscape.panels))
        raise StudyError(expected("panel", f"the number of one: {names}", number, "Choose one of them."))
    return landscape.panels[number]


def _check_kind(kind: str, panel: Panel) -> None:
    from safebasin.report.curves import composition

    known = ("plane",) if panel.region.is_plane else ("asr", "outcomes")
    if kind not in known:
        what = "a plane" if panel.region.is_plane else "a line"
        raise UsageError(expected("kind", f"{' or '.join(known)}, of {what}", kind, "Choose another panel or kind."))
    if kind == "outcomes" and not composition(panel):
        remedy = "Judge it by outcome: safebasin judge DIR --judge outcome."
        raise StudyError(expected("outcomes", "judged somewhere on the line", None, remedy))


def look_of(title: str | None, xlim: Limits | None, ylim: Limits | None, labels: str) -> Look:
    """The look that the arguments of `plot` ask for; a size is that of the new figure, not of what is drawn."""
    return Look(title=title, xlim=xlim, ylim=ylim, labels=labels)
