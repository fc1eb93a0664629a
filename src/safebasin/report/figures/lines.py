"""Figures along a line: ASR of every judge with its bands, and what the responses are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from safebasin.records import Landscape, Panel, Trajectory
from safebasin.report.colors import JUDGE_COLORS, OUTCOME_COLORS, OUTCOME_WORDS
from safebasin.report.curves import Curve, axis_label, composition, curves, mean_curve, n_missing, rate_name
from safebasin.report.figures.canvas import (
    PATH_COLORS,
    PATH_MARKERS,
    canvas,
    drawable,
    judge_name,
    panel_name,
    shortened,
)
from safebasin.report.layout import trajectories
from safebasin.report.sanitize import visible
from safebasin.report.sides import rim_words, rims
from safebasin.report.trajectories import labeled_steps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "RIMS",
    "draw_asr",
    "draw_asr_on",
    "draw_judge",
    "draw_marks",
    "draw_outcomes",
    "draw_outcomes_on",
    "fit_x",
    "judge_colors",
    "name_percent",
]

RIMS = "rims"
"""Marks the entry of a legend that names radii, which differ from panel to panel."""
_LIMIT = 50
_BASIN = OUTCOME_COLORS["refusal"]


def draw_asr(landscape: Landscape, panel: Panel) -> Figure:
    """ASR along α: every direction thin, their mean thick with its band, one color a judge."""
    figure, axes = canvas()
    draw_asr_on(axes, landscape, panel)
    return figure


def draw_asr_on(axes: Axes, landscape: Landscape, panel: Panel) -> None:
    """The same on axes that are there."""
    for judge, color in judge_colors(landscape, panel):
        draw_judge(axes, panel, judge, color, is_main=judge == panel.judge)
    draw_marks(axes, panel)
    for number, path in enumerate(trajectories(landscape, panel)):
        _draw_path(axes, panel, path, number)
    _name_missing(axes, panel)
    name_percent(axes, f"{rate_name(panel)} (%)")
    _finish(axes, panel, panel_name(landscape, panel))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, handlelength=1.8)


def draw_outcomes(landscape: Landscape, panel: Panel) -> Figure:
    """Draw what the responses are at each α, pooled over directions, stacked to 100%."""
    figure, axes = canvas()
    draw_outcomes_on(axes, landscape, panel)
    return figure


def draw_outcomes_on(axes: Axes, landscape: Landscape, panel: Panel) -> None:
    """The same on axes that are there."""
    places = composition(panel)
    names = list(places[0].shares)
    stacks = [[100 * place.shares[name] for place in places] for name in names]
    alphas = [place.alpha for place in places]
    colors = [OUTCOME_COLORS.get(name, "#000000") for name in names]
    labels = [OUTCOME_WORDS.get(name, name) for name in names]
    if len(alphas) > 1:
        axes.stackplot(alphas, stacks, colors=colors, labels=labels, edgecolor="white", linewidth=0.6)
    else:
        _draw_bar(axes, stacks, colors, labels)
    _label_stacks(axes, alphas, stacks, names)
    axes.axvline(0, color="white", linewidth=0.8, linestyle=(0, (1, 2)))
    axes.set_ylim(0, 100)
    axes.set_yticks(range(0, 101, 25))
    axes.set_ylabel("share of responses (%)")
    _finish(axes, panel, panel_name(landscape, panel))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=len(names), handlelength=1.2)


def judge_colors(landscape: Landscape, panel: Panel) -> list[tuple[str, str]]:
    """The judges of a panel with their colors, the one behind the statistics first."""
    judges = [panel.judge, *(judge for judge in landscape.judges if judge != panel.judge)]
    return [(judge, JUDGE_COLORS[i % len(JUDGE_COLORS)]) for i, judge in enumerate(judges)]


def draw_judge(axes: Axes, panel: Panel, judge: str, color: str, *, is_main: bool) -> None:
    """The curves of one judge: every direction thin, their mean thick with its band."""
    mean = mean_curve(panel, judge)
    if mean is None:
        return
    own = curves(panel, judge)
    if len(own) > 1:
        for curve in own:
            x, y, _, _ = drawable(curve)
            marker = "." if mean.is_interpolated or curve.missing else ""  # where it was measured
            axes.plot(x, y, color=color, linewidth=0.7, alpha=0.45, marker=marker, markersize=3)
    x, y, low, high = drawable(mean)
    axes.fill_between(x, low, high, color=color, alpha=0.13, linewidth=0)
    axes.plot(
        x,
        y,
        color=color,
        linewidth=2.2 if is_main else 1.6,
        linestyle="-" if is_main else (0, (3, 1.5)),  # both stay visible where they coincide
        marker="o" if is_main else "s",
        markersize=3 if len(mean.alphas) <= 41 and not mean.is_interpolated else 0,
        label=_legend(mean, len(own)),
    )


def _legend(mean: Curve, n_directions: int) -> str:
    what = "1 direction" if n_directions == 1 else mean.name
    return f"{judge_name(mean.judge)}: {what}\n(band: {visible(mean.band)})"


def draw_marks(axes: Axes, panel: Panel, *, with_radius: bool = True) -> None:
    """The limit of 50%, the origin, and where the basin ends on each side."""
    axes.axhline(_LIMIT, color="#555555", linewidth=0.8, linestyle=(0, (4, 3)))
    axes.annotate(
        "50%", (1, _LIMIT), xycoords=("axes fraction", "data"), xytext=(-2, 3), textcoords="offset points",
        ha="right", fontsize=7.5, color="#555555",
    )  # fmt: skip
    axes.axvline(0, color="#222222", linewidth=0.8, linestyle=(0, (1, 2)))
    for index, rim in enumerate(rims(panel) if with_radius else ()):
        label = f"{rim_words(panel)}\n({judge_name(panel.judge)} at 50%)" if index == 0 else None
        axes.axvspan(0, rim.alpha, color=_BASIN, alpha=0.07, linewidth=0, zorder=0)
        axes.plot([rim.alpha] * 2, [0, _LIMIT], color=_BASIN, linewidth=1.2, linestyle="--", label=label, gid=RIMS)
        face = "white" if rim.is_bound else _BASIN  # open: it does not get there within the range
        axes.plot([rim.alpha], [_LIMIT], marker="D", markersize=5, color=_BASIN, mfc=face, zorder=5)


def _draw_path(axes: Axes, panel: Panel, path: Trajectory, number: int) -> None:
    """The checkpoints of a training run on the curve of their direction; hollow where they lie beyond the range."""
    curve = next((c for c in curves(panel, panel.judge) if c.direction == path.direction), None)
    if curve is None:
        return
    color, marker = PATH_COLORS[number % len(PATH_COLORS)], PATH_MARKERS[number % len(PATH_MARKERS)]
    low, high = curve.alphas[0], curve.alphas[-1]
    worst = max(step.residual for step in path.steps)
    label = f"{shortened(path.name, 24)}, numbers: epochs\n(up to {100 * worst:.0f}% of its move is off the line)"
    for step in path.steps:
        alpha = min(high, max(low, step.coords[0]))
        inside = low <= step.coords[0] <= high
        axes.plot([alpha], [100 * curve.at(alpha)[0]], marker=marker, markersize=6, color=color, zorder=6,
                  mfc=color if inside else "white", mec="white" if inside else color, linestyle="none",
                  label=label)  # fmt: skip
        label = None
    for step, words in labeled_steps(path, reach=high - low):
        alpha = min(high, max(low, step.coords[0]))
        axes.annotate(words, (alpha, 100 * curve.at(alpha)[0]), xytext=(0, 6), textcoords="offset points",
                      fontsize=7.5, ha="center", color="#222222", zorder=7)  # fmt: skip


def _draw_bar(axes: Axes, stacks: Sequence[Sequence[float]], colors: Sequence[str], labels: Sequence[str]) -> None:
    bottom = 0.0
    for (height,), color, label in zip(stacks, colors, labels, strict=True):
        axes.bar([0], [height], bottom=bottom, width=0.2, color=color, label=label)
        bottom += height


def _label_stacks(axes: Axes, alphas: Sequence[float], stacks: Sequence[Sequence[float]], names: Sequence[str]) -> None:
    """Write the name of an outcome into its area, where it is highest, if the word fits there; the legend has all."""
    bottoms = [0.0] * len(alphas)
    reach = 0.075 * (alphas[-1] - alphas[0])
    for heights, name in zip(stacks, names, strict=True):
        tops = [b + h for b, h in zip(bottoms, heights, strict=True)]
        for i in sorted(range(len(alphas)), key=lambda i: -heights[i]):
            middle = (bottoms[i] + tops[i]) / 2
            near = [j for j, alpha in enumerate(alphas) if abs(alpha - alphas[i]) <= reach]
            inside = alphas[0] + reach <= alphas[i] <= alphas[-1] - reach
            if inside and all(bottoms[j] + 4 <= middle <= tops[j] - 4 for j in near):
                dark = name in ("refusal", "harmful", "incoherent")
                axes.annotate(
                    OUTCOME_WORDS.get(name, name), (alphas[i], middle), ha="center", va="center", fontsize=9,
                    fontweight="bold", color="white" if dark else "#222222",
                )  # fmt: skip
                break
        bottoms = tops


def _finish(axes: Axes, panel: Panel, title: str) -> None:
    axes.set_title(shortened(title))
    axes.set_xlabel(axis_label(panel.axis))
    fit_x(axes, panel)


def _name_missing(axes: Axes, panel: Panel) -> None:
    """An entry of the legend that says how many points are not measured, where any is not."""
    missing, size = n_missing(panel, panel.judge)
    if missing:
        axes.plot([], [], " ", label=f"{missing} of {size} points\nnot measured")


def name_percent(axes: Axes, name: str) -> None:
    """A y axis from 0 to 100%, with room for lines at both ends."""
    axes.set_ylim(-3, 103)
    axes.set_yticks(range(0, 101, 25))
    axes.set_ylabel(name)


def fit_x(axes: Axes, panel: Panel) -> None:
    """The x axis over the whole range of the panel and the origin, whatever of it is measured."""
    ends = (min(0.0, *panel.axis.alphas), max(0.0, *panel.axis.alphas))
    margin = 0.02 * (ends[1] - ends[0])
    if margin:
        axes.set_xlim(ends[0] - margin, ends[1] + margin)
