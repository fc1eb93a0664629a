"""Which figures a landscape has, under which names, as files or as images for a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from safebasin.records import Landscape, Panel
from safebasin.report.curves import composition
from safebasin.report.figures.blocks import draw_group
from safebasin.report.figures.canvas import STYLE, save, svg_of
from safebasin.report.figures.data import Row, measurement_rows, outcome_rows, point_rows
from safebasin.report.figures.lines import draw_asr, draw_outcomes
from safebasin.report.figures.look import Look, apply_look
from safebasin.report.figures.measurements import draw_measurements
from safebasin.report.figures.overlays import draw_multiples, draw_overlay
from safebasin.report.figures.planes import draw_plane, draw_plane_multiples, draw_rims
from safebasin.report.layout import Group, Overlay, groups, lone_panels, overlays, slugs, trajectories
from safebasin.report.measurements import measurement_curves
from safebasin.report.surfaces import surfaces

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Figures"]


USUAL = Look()


@dataclass(frozen=True, slots=True)
class _Job:
    """One figure: its name, what it shows, and how it is drawn."""

    name: tuple[str, ...]
    words: str
    draw: Callable[[], Figure]
    rows: Callable[[], list[Row]]
    """Its data."""


class Figures:
    """The figures of one landscape, as files and as images for a page: in its usual look each is drawn once."""

    def __init__(self, landscape: Landscape) -> None:
        """Draw nothing yet."""
        self._landscape = landscape
        self._images: dict[tuple[str, ...], bytes] = {}

    def save(self, folder: Path, look: Look = USUAL) -> list[Path]:
        """Write every figure as PNG, SVG and PDF, and its data as CSV: KIND-REGION-PROMPTS, with the system prompt
        behind where it is not `default`.

        Kinds are `asr` and `outcomes` (lines), `plane`, `planes` (each of several), `measurements` (other
        measurements), `overlay` and `multiples` (panels that differ in prompts or system), `rims` (planes over each
        other) and `blocks`.

        Args:
            folder: made if needed; figures of these names are overwritten.
            look: title, limits, size and language, where they are not to be the usual ones.

        Returns:
            The files, panels first. A panel without a judged response has no `outcomes`.
        """
        import matplotlib

        folder.mkdir(parents=True, exist_ok=True)
        written: list[Path] = []
        jobs = list(_jobs(self._landscape))
        names = [job.name for job in jobs]
        with matplotlib.rc_context(STYLE):
            for job, name in zip(jobs, slugs(names), strict=True):
                figure = job.draw()
                apply_look(look, figure)
                image = svg_of(figure)
                if look == USUAL and names.count(job.name) == 1:
                    self._images[job.name] = image
                written += save(figure, folder / name, job.rows(), image)
        return written

    def of_panel(self, panel: Panel) -> list[tuple[str, bytes]]:
        """Draw those of one panel, as (what it shows, SVG file), to stand in a page for readers without scripts."""
        return self._drawn(_of_panel(self._landscape, panel))

    def of_group(self, group: Group) -> list[tuple[str, bytes]]:
        """Draw that of a group, likewise."""
        return self._drawn(_of_group(self._landscape, group))

    def of_overlay(self, overlay: Overlay) -> list[tuple[str, bytes]]:
        """Draw those of an overlay, likewise."""
        return self._drawn(_of_overlay(self._landscape, overlay))

    def _drawn(self, jobs: Iterator[_Job]) -> list[tuple[str, bytes]]:
        import matplotlib

        with matplotlib.rc_context(STYLE):
            return [(job.words, self._images.get(job.name) or svg_of(job.draw())) for job in jobs]


def _jobs(landscape: Landscape) -> Iterator[_Job]:
    drawn: set[object] = set()
    for panel in lone_panels(landscape):
        yield from _of_panel(landscape, panel)
        if panel.region not in drawn and measurement_curves(panel):
            drawn.add(panel.region)  # what is measured of a place does not depend on the prompts
            yield _Job(
                ("measurements", panel.region.name),
                "other measurements",
                lambda p=panel: draw_measurements(landscape, p),
                partial(measurement_rows, panel),
            )
    for overlay in overlays(landscape):
        yield from _of_overlay(landscape, overlay)
    for group in groups(landscape):
        yield from _of_group(landscape, group)


def _of_panel(landscape: Landscape, panel: Panel) -> Iterator[_Job]:
    parts = (panel.region.name, panel.prompts, _unless_default(panel.system))
    if panel.region.is_plane:
        words = "ASR over the plane"
        yield _Job(("plane", *parts), words, lambda: draw_plane(landscape, panel), partial(point_rows, [panel]))
        yield from _of_planes(landscape, panel, parts)
        return
    words = "ASR along α"
    yield _Job(("asr", *parts), words, lambda: draw_asr(landscape, panel), partial(point_rows, [panel]))
    if composition(panel):
        words = "What the responses are along α"
        yield _Job(("outcomes", *parts), words, lambda: draw_outcomes(landscape, panel), partial(outcome_rows, panel))


def _of_planes(landscape: Landscape, panel: Panel, parts: tuple[str, ...]) -> Iterator[_Job]:
    """Where a region has several planes: each beside the others, and those with a trajectory alone."""
    own = surfaces(panel, panel.judge)
    if len(own) < 2:
        return
    each = [(f"plane {surface.direction}", panel, surface.direction) for surface in own]
    title = f"{panel.prompts}, each plane"
    rows = partial(point_rows, [panel])
    yield _Job(("planes", *parts), title, lambda: draw_plane_multiples(landscape, each, title), rows)
    known = {surface.direction for surface in own}
    for number in sorted({t.direction for t in trajectories(landscape, panel)} & known):
        words = f"ASR over plane {number}, with the trajectory"
        name = ("plane", *parts, f"direction {number}")
        yield _Job(name, words, lambda number=number: draw_plane(landscape, panel, direction=number), rows)


def _of_overlay(landscape: Landscape, overlay: Overlay) -> Iterator[_Job]:
    parts = (overlay.region.name, overlay.differs, _unless_default(overlay.fixed))
    rows = partial(point_rows, overlay.panels)
    if overlay.region.is_plane:
        each = [(overlay.name_of(panel), panel, None) for panel in overlay.panels]
        title = overlay.title
        yield _Job(("multiples", *parts), title, lambda: draw_plane_multiples(landscape, each, title), rows)
        yield _Job(("rims", *parts), f"50% rims, {title}", lambda: draw_rims(landscape, overlay), rows)
        return
    yield _Job(("overlay", *parts), overlay.title, lambda: draw_overlay(landscape, overlay), rows)
    if overlay.differs == "system":
        yield _Job(("multiples", *parts), overlay.title, lambda: draw_multiples(landscape, overlay), rows)


def _of_group(landscape: Landscape, group: Group) -> Iterator[_Job]:
    parts = (group.name, group.prompts, _unless_default(group.system))
    rows = partial(point_rows, group.panels)
    yield _Job(("blocks", *parts), "mean ASR and radius by line", lambda: draw_group(landscape, group), rows)


def _unless_default(system: str) -> str:
    return "" if system == "default" else system
