"""The numbers under a chart: statistics, what the responses were, groups of lines, trajectories, differences."""

from __future__ import annotations

from collections.abc import Sequence

from safebasin.records import Landscape, Panel, Trajectory
from safebasin.report.colors import OUTCOME_WORDS
from safebasin.report.curves import composition, mean_values
from safebasin.report.differences import comparison_words
from safebasin.report.explanations import explanation, in_order, interval_words, value_words
from safebasin.report.layout import Group
from safebasin.report.measurements import measurement_rows
from safebasin.report.sanitize import visible
from safebasin.report.sides import alpha_words
from safebasin.report.terminal.signs import Signs, wrapped
from safebasin.report.trajectories import step_words

__all__ = ["differences", "group_table", "made_of", "measured", "paths", "statistics"]


def statistics(panel: Panel, columns: int) -> list[str]:
    """Every statistic with interval, n and missing; columns that do not fit are left out whole."""
    rows = [("statistic", "value", "interval", "n", "missing")]
    for name in in_order(panel.summary):
        found = panel.summary[name]
        title = visible(explanation(name, panel).title)
        rows.append((title, value_words(name, found), interval_words(name, found), str(found.n), str(found.n_missing)))
    lines = _aligned(rows, columns)
    if panel.region.n_directions > 1 and panel.region.points == "grid":
        lines += wrapped("n: verdicts on the grid; the origin, asked once, counts in each direction", columns, "  ")
    bounds = [name for name in in_order(panel.summary) if panel.summary[name].n_censored]
    if bounds:
        what = "some side never crosses the limit within the range"
        if panel.region.is_plane:
            what = "the basin touches the border of the map"
        elif panel.region.sides:
            what = "this side never crosses the limit within the range"
        lines += wrapped(f"≥ a lower bound: {what}", columns, "  ")
    return lines


def group_table(group: Group, columns: int, signs: Signs) -> list[str]:
    """A row a line: its mean ASR along α as a strip of shades, and its radius."""
    rows: list[tuple[str, ...]] = [("line", "mean ASR along α", "radius", "interval")]
    room = max(7, min(len(group.alphas), columns - 50))
    for panel in group.panels:
        radius = panel.summary.get("radius")
        value = ("–", "") if radius is None else (value_words("radius", radius), interval_words("radius", radius))
        rows.append((visible(panel.region.name)[:24], f"[{_strip(panel, group.alphas, room, signs)}]", *value))
    a, b, c, d, e = signs.shades
    legend = f"{a!r} under 10%, {b} under 50%, {c} under 75%, {d} under 95%, {e} above; {signs.band} not measured"
    return [*_aligned(rows, columns), *wrapped(legend, columns, "  ")]


def _strip(panel: Panel, alphas: Sequence[float], room: int, signs: Signs) -> str:
    last = len(alphas) - 1
    shown = [alphas[round(i * last / max(room - 1, 1))] for i in range(room)] if last >= room else alphas
    return "".join(signs.shade(value) for value in mean_values(panel, panel.judge, shown))


def _aligned(rows: Sequence[Sequence[str]], columns: int) -> list[str]:
    """The first column flush left, the others flush right; those that do not fit are left out."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    while len(widths) > 2 and sum(widths) + 2 * (len(widths) - 1) > columns:
        widths.pop()  # a column that does not fit is left out: half a number would be another number
    lines: list[str] = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(wide) for cell, wide in zip(row[1:], widths[1:], strict=False))]
        lines.append("  ".join(cells).rstrip()[:columns])
    return lines


def made_of(panel: Panel, columns: int) -> list[str]:
    """Tabulate what the responses are at the ends, at the origin, and half-way: percent, pooled over directions."""
    places = composition(panel)
    if not places or panel.region.is_plane:
        return []
    last = len(places) - 1
    origin = next((i for i, place in enumerate(places) if place.alpha == 0), 0)
    lines = ["", "responses"]
    for i in sorted({0, origin // 2, origin, (origin + last) // 2, last}):
        shares = ", ".join(
            f"{100 * share:.0f}% {visible(OUTCOME_WORDS.get(name, name))}" for name, share in places[i].shares.items()
        )
        lines += wrapped(f"  α = {alpha_words(places[i].alpha, sign=True)}  {shares}", columns, " " * 13)
    return lines


def measured(panel: Panel, columns: int) -> list[str]:
    """Tabulate what else was measured: at the origin, and its range."""
    rows: list[tuple[str, ...]] = [("measurement", "origin", "least", "most", "points")]
    for row in measurement_rows(panel):
        numbers = ("–" if x is None else f"{x:.4g}" for x in (row.at_origin, row.low, row.high))
        rows.append((visible(row.name)[:32], *numbers, str(row.n_places - row.n_broken)))
    return ["", *_aligned(rows, columns)] if len(rows) > 1 else []


def paths(found: Sequence[Trajectory], columns: int) -> list[str]:
    """The checkpoints of each trajectory: coordinates, and what is off the line or plane."""
    lines: list[str] = []
    for path in found:
        lines += ["", *wrapped(visible(f"trajectory {path.name}").replace("\n", " "), columns, "  ")]
        rows: list[tuple[str, ...]] = [("checkpoint", *"αβ"[: len(path.steps[0].coords)], "off", "move of ‖θ₀‖")]
        for step in path.steps:
            coords = (alpha_words(coord, sign=True) for coord in step.coords)
            words = visible(step_words(step))[:24]
            rows.append((words, *coords, f"{100 * step.residual:.0f}%", f"{100 * step.distance:.2f}%"))
        lines += _aligned(rows, columns)
        lines += [line for why in path.skipped for line in wrapped(visible(f"left out: {why}"), columns, "  ")]
    return lines


def differences(landscape: Landscape, columns: int) -> list[str]:
    """The paired differences between panels."""
    lines = ["differences (after − before, paired)"]
    for found in landscape.comparisons:
        value, interval, verdict = comparison_words(landscape, found)
        text = f"{found.region}: {found.before} → {found.after}, {found.statistic}: {value} {interval}".rstrip()
        text += f" ({verdict})" if verdict else ""
        lines += wrapped(visible(f"  {text}").replace("\n", " "), columns, "    ")
    return lines if len(lines) > 1 else []
