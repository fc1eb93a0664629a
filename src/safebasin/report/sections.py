"""What the page says, section by section, as plain values for its template: panels, overlays, groups, differences."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from safebasin.records import Estimate, Landscape, Panel, Region, Trajectory
from safebasin.report.curves import n_missing, plane_labels, rate_name
from safebasin.report.explanations import (
    Explanation,
    explanation,
    in_order,
    interval_words,
    value_words,
)
from safebasin.report.figures import Figures
from safebasin.report.headlines import group_headline, headline
from safebasin.report.layout import Group, Overlay, groups, lone_panels, overlays, panel_title, regions, trajectories
from safebasin.report.measurements import MeasurementRow, measurement_curves, measurement_rows
from safebasin.report.sides import by_side, named_side, rims
from safebasin.report.surfaces import is_interpolated, surfaces, target_marks
from safebasin.report.trajectories import step_words

__all__ = ["Section", "contents", "line_words", "page_sections"]

KEY_FIGURES = (
    "answered",
    "over_refusal",
    "answer_radius",
    "answer_margin",
    "radius",
    "harm_radius",
    "depth",
    "margin",
    "collapse",
    "visage",
)
"""The statistics of the first screen, in this order; VISAGE never alone."""

Images = Sequence[tuple[str, str]]
"""(what it shows, data URI) of static figures, for readers without scripts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistic:
    """A row of a table of statistics."""

    name: str
    about: Explanation
    estimate: Estimate
    value: str
    interval: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section: what every one has."""

    kind: str
    """`panel`, `overlay` or `group`: which part of the template shows it, and which function of the script."""
    number: int
    """Its place among those of its kind in the page's payload."""
    anchor: str
    title: str
    short: str
    """The title where its region stands above it."""
    region: str
    """Heading in the table of contents under which it stands."""
    images: Images


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelSection(Section):
    """One panel: the answer, its charts and its statistics."""

    answer: str
    judge: str
    is_plane: bool
    n_directions: int
    size: str
    """How many points, in words."""
    n_prompts: int
    key_figures: Sequence[Statistic]
    statistics: Sequence[Statistic]
    caption: str
    has_composition: bool
    has_answers: bool
    """Whether its prompts should be answered: its statistics then name their judges themselves."""
    has_measurements: bool
    measurements: Sequence[MeasurementRow]
    paths: Sequence[tuple[Trajectory, Sequence[Sequence[str]]]]
    """Trajectories with the rows of their tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlaySection(Section):
    """Panels that differ in one thing, over each other."""

    is_plane: bool
    lines: str
    """What its lines and bands are."""
    names: Sequence[str]
    has_multiples: bool
    has_answers: bool
    """Whether some of the prompts should be answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSection(Section):
    """Lines of one group: a heat map and a table."""

    answer: str
    judge: str
    columns: Sequence[Explanation]
    rows: Sequence[tuple[str, Sequence[tuple[str, str]]]]
    """Name of the line, and (value, interval) by column."""
    size: str


def page_sections(landscape: Landscape, figures: Figures) -> list[Section]:
    """The sections in the order of the page: the first panel first, what is compared right after it.

    Args:
        landscape: what is reported.
        figures: of this landscape.
    """
    made: list[Section] = []
    numbers = {id(panel): number for number, panel in enumerate(landscape.panels)}
    grouped = list(enumerate(groups(landscape)))
    compared = list(enumerate(overlays(landscape)))
    alone = {id(panel) for panel in lone_panels(landscape)}
    for region in regions(landscape):
        own = [p for p in landscape.panels if p.region == region and id(p) in alone]
        for place, panel in enumerate(own):
            made.append(_panel(landscape, panel, figures, numbers[id(panel)], is_first=place == 0))
            if place == 0:
                made += [_overlay(landscape, o, figures, n) for n, o in compared if o.region == region]
        made += [_group(landscape, g, figures, n) for n, g in grouped if g.panels[0].region == region]
    return made


def contents(sections: Sequence[Section]) -> list[tuple[str, list[Section]]]:
    """The table of contents: (region, its sections)."""
    found: dict[str, list[Section]] = {}
    for section in sections:
        found.setdefault(section.region, []).append(section)
    return list(found.items())


# --- panels -----------------------------------------------------------------------------------------------------------


def _panel(landscape: Landscape, panel: Panel, figures: Figures, number: int, *, is_first: bool) -> PanelSection:
    table = [_statistic(panel, name) for name in in_order(panel.summary)]
    paths = trajectories(landscape, panel) if is_first else ()
    return PanelSection(
        kind="panel",
        number=number,
        anchor=f"panel-{number + 1}",
        title=panel_title(landscape, panel),
        short=panel_title(None, panel),
        region=_region_name(panel.region),
        images=_data_uris(figures.of_panel(panel)),
        answer=headline(panel),
        judge=panel.judge,
        is_plane=panel.region.is_plane,
        n_directions=panel.region.n_directions,
        size=_size(panel),
        n_prompts=max((cell.n_planned for cell in panel.points), default=0),
        key_figures=[_key_figure(panel, name) for name in KEY_FIGURES if name in panel.summary],
        statistics=table,
        caption=_caption(panel),
        has_composition=not panel.region.is_plane and any(cell.outcomes for cell in panel.points),
        has_answers=rate_name(panel) == "answered",
        has_measurements=is_first and bool(measurement_curves(panel)),
        measurements=measurement_rows(panel) if is_first else (),
        paths=[(path, _path_rows(path)) for path in paths],
    )


def _key_figure(panel: Panel, name: str) -> Statistic:
    """A statistic of the first screen; where the sides differ it names its side, and gives the other one beside."""
    found = _statistic(panel, name)
    sides = by_side(panel, name)
    others = {side: e for side, e in sides.items() if side != named_side(panel, name) and e.value is not None}
    said = [found.about.short, *(f"{side}: {value_words(name, e)}" for side, e in others.items())]
    return replace(found, about=replace(found.about, short="; ".join(said)))


def line_words(region: Region) -> str:
    """Say what the lines of several panels are, and what is shaded, in a caption."""
    if region.n_directions > 1:
        return f"Lines: mean over {region.n_directions} directions. Shaded: their range."
    return "One direction. Shaded: 95% interval of each point."


def _statistic(panel: Panel, name: str) -> Statistic:
    estimate = panel.summary[name]
    return Statistic(
        name=name,
        about=explanation(name, panel),
        estimate=estimate,
        value=value_words(name, estimate),
        interval=interval_words(name, estimate),
    )


def _size(panel: Panel) -> str:
    count = panel.region.n_directions
    noun = "plane" if panel.region.is_plane else "direction"
    points = " × ".join(str(n) for n in panel.region.shape)
    words = f"{count} {noun}{'' if count == 1 else 's'} × {points} points"
    if panel.region.points == "auto":
        words += f", {len(panel.points)} of them measured, the origin among them"
    return words


def _interval_words(panel: Panel) -> str:
    asked = [cell.n_planned for cell in panel.points]
    if min(asked, default=0) == max(asked, default=0):
        return "Wilson 95% interval"
    return "95% interval (Wilson's; where prompts were left out, a confidence sequence)"


def _caption(panel: Panel) -> str:
    count = panel.region.n_directions
    if not panel.region.is_plane:
        shown = f"Thick: mean over {count} directions. Thin: each direction. Shaded: their range."
        shown = shown if count > 1 else f"One direction. Shaded: {_interval_words(panel)} of each point."
        missing, size = n_missing(panel, panel.judge)
        if missing:
            shown += f" {missing} of {size} points are not measured: the curves are broken there."
        if is_interpolated(panel):
            shown += " Points: what is measured; between them the curves are linear."
        if rate_name(panel) == "answered":
            return f"{shown} A keyword judge takes all that is no refusal for an answer, collapsed text too."
        if not rims(panel):
            return shown
        what = "the radius of each side" if panel.region.sides else "mean radius"
        return f"{shown} Diamonds and tint: {what} (open diamonds: a lower bound)."
    along = "; ".join(" ".join(label.split()) for label in plane_labels(panel))
    words = f"{along}. Line: where ASR crosses 50%. Cross: the model itself."
    words += " Star: a target." if target_marks(panel) else ""
    if count > 1:
        words += f" At first the mean of {count} planes; each can be chosen."
    own = surfaces(panel, panel.judge)
    if n_gaps := sum(surface.n_gaps for surface in own):
        size = sum(surface.size for surface in own)
        words += f" {n_gaps} of {size} points are not measured and left blank" + (
            ", or out of the mean." if count > 1 else "."
        )
    if is_interpolated(panel):
        words += " Dots: measured points; the map between them is interpolated linearly."
    return words


def _path_rows(path: Trajectory) -> list[list[str]]:
    """Checkpoint, its coordinates, what is off the line or plane, and how far it has moved."""
    return [
        [
            step.label if step.epoch is None else f"{step.label} ({step_words(step)})",
            *(f"{coord:.3f}".replace("-", "−") for coord in step.coords),
            f"{100 * step.residual:.0f}%",
            f"{100 * step.distance:.2f}%",
        ]
        for step in path.steps
    ]


# --- several panels ---------------------------------------------------------------------------------------------------


def _overlay(landscape: Landscape, overlay: Overlay, figures: Figures, number: int) -> OverlaySection:
    title = f"{overlay.title[0].lower()}{overlay.title[1:]}"
    several = len(regions(landscape)) > 1
    return OverlaySection(
        kind="overlay",
        number=number,
        anchor=f"compared-{number + 1}",
        title=f"Compared on {overlay.region.name}: {title}" if several else f"Compared: {title}",
        short=f"Compared: {title}",
        region=_region_name(overlay.region),
        images=_data_uris(figures.of_overlay(overlay)),
        is_plane=overlay.region.is_plane,
        lines=line_words(overlay.region),
        names=[overlay.name_of(panel) for panel in overlay.panels],
        has_multiples=overlay.differs == "system" or overlay.region.is_plane,
        has_answers=any(rate_name(panel) == "answered" for panel in overlay.panels),
    )


def _group(landscape: Landscape, group: Group, figures: Figures, number: int) -> GroupSection:
    names = [name for name in KEY_FIGURES if any(name in panel.summary for panel in group.panels)]
    system = "" if group.system == "default" else f", system prompt {group.system}"
    sizes = {_size(panel) for panel in group.panels}
    return GroupSection(
        kind="group",
        number=number,
        anchor=f"group-{number + 1}",
        title=f"{group.name}: {group.prompts}{system}",
        short=f"{group.prompts}{system}",
        region=group.name,
        images=_data_uris(figures.of_group(group)),
        answer=group_headline(group.panels),
        judge=group.panels[0].judge,
        columns=[explanation(name, group.panels[0]) for name in names],
        rows=[(panel.region.name, [_cell(panel, name) for name in names]) for panel in group.panels],
        size=f"{len(group.panels)} lines, each {sizes.pop()}" if len(sizes) == 1 else f"{len(group.panels)} lines",
    )


def _cell(panel: Panel, name: str) -> tuple[str, str]:
    found = panel.summary.get(name)
    return ("–", "") if found is None else (value_words(name, found), interval_words(name, found))


def _region_name(region: Region) -> str:
    return region.name or " × ".join(axis.name for axis in region.axes)


def _data_uris(images: Iterable[tuple[str, bytes]]) -> Images:
    return list(_uris(images))


def _uris(images: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, str]]:
    for words, svg in images:
        yield words, f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
