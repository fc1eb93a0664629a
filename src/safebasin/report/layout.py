"""What of a landscape is drawn together, and under which names: regions, overlays, groups, file names. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from safebasin import catalog
from safebasin.records import Landscape, Panel, Region, Trajectory

__all__ = [
    "Group",
    "Overlay",
    "groups",
    "lone_panels",
    "model_name",
    "overlays",
    "panel_title",
    "regions",
    "slugs",
    "target_name",
    "trajectories",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Panels whose regions share a group, such as one line for each block: the rows of one heat map."""

    name: str
    prompts: str
    system: str
    panels: tuple[Panel, ...]
    """In the study's order: the first row is the first block."""

    @property
    def alphas(self) -> tuple[float, ...]:
        """Every coordinate of their grids and the origin, ascending."""
        return tuple(sorted({0.0}.union(*(panel.axis.alphas for panel in self.panels))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """Panels of one region that differ in one thing, to be drawn over each other or side by side."""

    region: Region
    differs: Literal["prompts", "system"]
    fixed: str
    """Name of what they share: the system prompt, or the prompt set."""
    panels: tuple[Panel, ...]

    def name_of(self, panel: Panel) -> str:
        """Name a panel for the legend."""
        return panel.prompts if self.differs == "prompts" else panel.system

    @property
    def title(self) -> str:
        """The title: what is compared, and under what."""
        if self.differs == "prompts":
            return "Prompt sets" + ("" if self.fixed == "default" else f", system prompt {self.fixed}")
        return f"System prompts, {self.fixed}"


def regions(landscape: Landscape) -> tuple[Region, ...]:
    """The regions, each once, in the study's order."""
    return tuple(dict.fromkeys(panel.region for panel in landscape.panels))


def groups(landscape: Landscape) -> tuple[Group, ...]:
    """One for each (group, prompt set, system prompt) that has at least two lines."""
    found: dict[tuple[str, str, str], list[Panel]] = {}
    for panel in landscape.panels:
        if panel.region.group and not panel.region.is_plane:
            found.setdefault((panel.region.group, panel.prompts, panel.system), []).append(panel)
    return tuple(
        Group(name=name, prompts=prompts, system=system, panels=tuple(panels))
        for (name, prompts, system), panels in found.items()
        if len(panels) > 1
    )


def lone_panels(landscape: Landscape) -> tuple[Panel, ...]:
    """The panels that stand for themselves: those in no group."""
    grouped = {id(panel) for group in groups(landscape) for panel in group.panels}
    return tuple(panel for panel in landscape.panels if id(panel) not in grouped)


def overlays(landscape: Landscape) -> tuple[Overlay, ...]:
    """Region by region: its prompt sets under each system prompt, then its system prompts for each prompt set."""
    grouped = {panel.region for group in groups(landscape) for panel in group.panels}
    found: list[Overlay] = []
    for region in regions(landscape):
        own = [panel for panel in landscape.panels if panel.region == region]
        if region in grouped:
            continue
        for system in dict.fromkeys(p.system for p in own):
            panels = tuple(p for p in own if p.system == system)
            if len(panels) > 1:
                found.append(Overlay(region=region, differs="prompts", fixed=system, panels=panels))
        for prompts in dict.fromkeys(p.prompts for p in own):
            panels = tuple(p for p in own if p.prompts == prompts)
            if len(panels) > 1:
                found.append(Overlay(region=region, differs="system", fixed=prompts, panels=panels))
    return tuple(found)


def trajectories(landscape: Landscape, panel: Panel) -> tuple[Trajectory, ...]:
    """The trajectories that are projected onto the region of a panel."""
    return tuple(t for t in landscape.trajectories if t.region == panel.region.name and t.steps)


def model_name(model: str) -> str:
    """A model as a title names it: a folder by its last part, as where it lies says nothing to who reads the page.

    Hub ids and models of worlds stay; so does a relative path of two parts, which looks like a hub id.
    """
    parts = (part.rstrip("/\\") for part in model.split("+"))
    return "+".join(re.split(r"[/\\]", part)[-1] if _is_path(part) else part for part in parts) or model


def target_name(region: Region) -> str:
    """The model or adapter that a line leads to, as a sentence names it; empty where it is none, or too long a name."""
    spec = region.axes[0].directions[0]
    leads_to = catalog.target_of(spec.kind)
    if region.is_plane or not spec.target or leads_to not in ("model", "adapter"):
        return ""
    name = model_name(spec.target)
    return ("" if leads_to == "model" else "the adapter ") + name if len(name) <= _ROOM else ""


_ROOM = 60
"""Characters of the longest name of a target that a sentence has room for."""


def _is_path(text: str) -> bool:
    return text.startswith((".", "~", "/")) or "\\" in text or text.count("/") > 1


def panel_title(landscape: Landscape | None, panel: Panel) -> str:
    """A heading that tells this panel from the others of the landscape; from those of its own region if None."""
    # the model's own system prompt is named where others stand beside it
    is_lone = landscape is None or len({other.system for other in landscape.panels}) < 2
    lone = panel.system == "default" and is_lone
    title = panel.prompts if lone else f"{panel.prompts}, system prompt {panel.system}"
    return f"{panel.region.name}: {title}" if landscape is not None and len(regions(landscape)) > 1 else title


def slugs(names: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """A file name for each, of small letters, digits and hyphens: the same for the same names, and all different.

    A part that is too long is cut and ends in a hash of the whole; a name that would occur twice gets a number.
    """
    found: list[str] = []
    for parts in names:
        slug = "-".join(filter(None, (_slug(part) for part in parts))) or "panel"
        number = sum(other == slug or other.rpartition("--")[0] == slug for other in found) + 1
        found.append(slug if number == 1 else f"{slug}--{number}")
    return tuple(found)


def _slug(text: str, longest: int = 40) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if len(slug) <= longest:
        return slug
    return f"{slug[: longest - 7].strip('-')}-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:6]}"
