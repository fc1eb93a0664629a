"""A landscape as text for a terminal: curves, maps, statistics, what the responses were. Returns text; prints nothing.

No color: it survives a pipe, a log file and a mail.

    curve   ASR along a line as a chart of bars
    plane   ASR over a plane as a map of characters
    signs   the characters of charts, and their stand-ins where only ASCII is known
    tables  the numbers under a chart: statistics, what the responses were, groups of lines, trajectories, differences
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator

from safebasin.records import Landscape, Panel
from safebasin.report.curves import mean_curve, rate_name
from safebasin.report.headlines import group_headline, headline
from safebasin.report.layout import Group, groups, lone_panels, trajectories
from safebasin.report.sanitize import visible
from safebasin.report.surfaces import mean_surface
from safebasin.report.terminal.curve import draw_curve
from safebasin.report.terminal.plane import draw_map
from safebasin.report.terminal.signs import ASCII, BLOCKS, Signs, is_encodable, plain, wrapped
from safebasin.report.terminal.tables import differences, group_table, made_of, measured, paths, statistics

__all__ = ["terminal_curve", "terminal_notes"]


def terminal_curve(landscape: Landscape, *, width: int | None = None) -> str:
    """Curve or map, statistics and composition of every panel, then groups, differences and notes.

    The bars are the mean over directions of the judge behind the statistics; the shaded part above them reaches to the
    highest direction, or, with one direction, to the upper end of the point's interval.

    Args:
        landscape: what is shown.
        width: columns, at least 40; those of the terminal if None, and at most 100.
    """
    columns = _columns(width)
    signs = BLOCKS if is_encodable() else ASCII
    blocks = [block for block in _blocks(landscape, columns, signs) if block]
    text = "\n\n".join("\n".join(block) for block in blocks)
    return text if signs is BLOCKS else plain(text)


def terminal_notes(notes: Iterable[str], width: int | None = None) -> list[str]:
    """Lines of notes, each after an asterisk; `width` as of `terminal_curve`."""
    return [line for note in notes for line in wrapped(f"* {visible(note)}", _columns(width), "  ")]


def _columns(width: int | None) -> int:
    return max(40, min(width or shutil.get_terminal_size((80, 24)).columns, width or 100))


def _blocks(landscape: Landscape, columns: int, signs: Signs) -> Iterator[list[str]]:
    shown: set[object] = set()
    for panel in lone_panels(landscape):
        yield _panel(landscape, panel, columns, signs)
        if panel.region not in shown:  # what does not depend on the prompts stands under the first panel of a region
            shown.add(panel.region)
            yield [*measured(panel, columns), *paths(trajectories(landscape, panel), columns)][1:]
    for group in groups(landscape):
        yield _group(landscape, group, columns, signs)
    yield differences(landscape, columns)
    yield terminal_notes(landscape.notes, columns)


def _panel(landscape: Landscape, panel: Panel, columns: int, signs: Signs) -> list[str]:
    what = "plane" if panel.region.is_plane else "axis"
    title = f"{landscape.model} · {panel.prompts} · system {panel.system} · {what} {panel.region.name}"
    lines = wrapped(visible(title).replace("\n", " "), columns, "  ")
    drawn = _map(panel, columns, signs) if panel.region.is_plane else _curve(panel, columns, signs)
    if not drawn:
        return [*lines, "nothing measured yet"]
    said = wrapped(visible(headline(panel)).replace("\n", " "), columns)
    return [*lines, *drawn, "", *said, "", *statistics(panel, columns), *made_of(panel, columns)]


def _curve(panel: Panel, columns: int, signs: Signs) -> list[str]:
    curve = mean_curve(panel, panel.judge)
    if curve is None:
        return []
    several = panel.region.n_directions > 1
    what = curve.name if several else "1 direction"
    upper = "highest direction" if several else "upper end of the 95% interval"
    words = f"{rate_name(panel)} by {visible(panel.judge)}; {what}; {signs.band * 2} up to the {upper}"
    return [*wrapped(words, columns, "  "), "", *draw_curve(panel, curve, columns, signs)]


def _map(panel: Panel, columns: int, signs: Signs) -> list[str]:
    surface = mean_surface(panel, panel.judge)
    if surface is None:
        return []
    several = panel.region.n_directions > 1
    words = f"{rate_name(panel)} by {visible(panel.judge)}; {surface.name if several else '1 plane'}"
    return [*wrapped(words, columns, "  "), "", *draw_map(panel, surface, columns, signs)]


def _group(landscape: Landscape, group: Group, columns: int, signs: Signs) -> list[str]:
    title = f"{landscape.model} · {group.prompts} · system {group.system} · {group.name}"
    lines = wrapped(visible(title).replace("\n", " "), columns, "  ")
    answer = wrapped(visible(group_headline(group.panels)).replace("\n", " "), columns)
    return [*lines, *answer, "", *group_table(group, columns, signs)]
