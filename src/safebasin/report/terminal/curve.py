"""ASR along a line as a chart of bars."""

from __future__ import annotations

from collections.abc import Sequence

from safebasin.records import Panel
from safebasin.report.curves import Curve, axis_label, n_missing
from safebasin.report.terminal.signs import Signs, wrapped

__all__ = ["GUTTER", "draw_curve", "ticks"]

_ROWS = 12
GUTTER = 6
"""Columns left of the bars: `100% ┤`."""


def draw_curve(panel: Panel, curve: Curve, columns: int, signs: Signs) -> list[str]:
    """The chart, its axis and its ticks; lines of at most so many columns."""
    room = columns - GUTTER
    xs, asr, high = _columns(panel, curve)
    shown = _spread(xs, room)
    each = max(1, min(room // len(shown), 5))
    gap = 1 if each >= 3 else 0
    heights = [(asr[i], high[i]) for i in shown]
    alphas = [xs[i] for i in shown]
    lines: list[str] = []
    for row in range(_ROWS, 0, -1):
        empty = signs.limit if row == _ROWS // 2 else " "
        bars = ""
        for mean, top in heights:
            sign = " " if mean is None or top is None else _sign(mean, top, row, signs)
            bars += (empty if sign == " " else sign) * (each - gap) + empty * gap
        label = f"{100 * row // _ROWS}%" if row % (_ROWS // 4) == 0 else ""
        lines.append(f"{label:>4} {signs.tick if label else signs.wall}{bars}".rstrip())
    middle = (each - gap - 1) // 2
    marks = ["?" if mean is None else signs.origin if a == 0 else signs.floor
             for a, (mean, _) in zip(alphas, heights, strict=True)]  # fmt: skip
    floor = "".join(signs.floor * middle + mark + signs.floor * (each - middle - 1) for mark in marks)
    lines.append(f"  0% {signs.corner}{floor}")
    lines.append(" " * GUTTER + ticks(alphas, each, middle, room))
    lines.append(" " * GUTTER + axis_label(panel.axis).center(len(alphas) * each).rstrip()[:room])
    missing, size = n_missing(panel, curve.judge)
    return [*lines, *(wrapped(f"? not measured: {missing} of {size} points", columns) if missing else [])]


def _columns(panel: Panel, curve: Curve) -> tuple[list[float], list[float | None], list[float | None]]:
    """α, mean and upper end of each column: every place of the grid, so that columns are as far apart as places."""
    if panel.region.points == "grid":
        xs, asr, _, high = curve.with_gaps()
        return xs, asr, high
    xs = sorted({0.0, *panel.axis.alphas})
    values = [curve.at(x) for x in xs]
    return xs, [v[0] for v in values], [v[2] for v in values]


def _spread(alphas: Sequence[float], room: int) -> list[int]:
    """Which points are drawn: all that fit, else every so many-th, the ends and the origin among them."""
    if len(alphas) <= room:
        return list(range(len(alphas)))
    step = (len(alphas) - 1) / (room - 2)
    kept = {round(i * step) for i in range(room - 1)}
    return sorted(kept | {i for i, alpha in enumerate(alphas) if alpha == 0})[:room]


def _sign(mean: float, high: float, row: int, signs: Signs) -> str:
    """What stands in one row of a column; row 1 is the lowest."""
    level = signs.levels[max(0, min(8, round(8 * (mean * _ROWS - row + 1))))]
    return signs.band if level == " " and high * _ROWS > row - 0.5 else level


def ticks(alphas: Sequence[float], each: int, middle: int, room: int) -> str:
    """Values of α under the ends, the origin and the middle of each side, where they do not touch."""
    last = len(alphas) - 1
    origin = next((i for i, alpha in enumerate(alphas) if alpha == 0), 0)
    line = [" "] * room
    for i in dict.fromkeys((0, last, origin, origin // 2, (origin + last + 1) // 2)):
        label = f"{alphas[i]:+.3g}" if alphas[i] else "0"
        start = max(0, min(i * each + middle - len(label) // 2, room - len(label)))
        if all(c == " " for c in line[max(0, start - 1) : start + len(label) + 1]):
            line[start : start + len(label)] = label
    return "".join(line).rstrip()
