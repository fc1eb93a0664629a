"""Two studies side by side, as plain values: statistics of panels that ask the same, settings that differ, figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from safebasin.landscape.stored import StoredStudy
from safebasin.records import Estimate, Landscape, Panel
from safebasin.report.explanations import interval_words, value_words
from safebasin.store import folder as folders
from safebasin.viewer.tree import Found, file_of

__all__ = ["PanelPair", "pair_figures", "pair_panels", "settings_that_differ", "side_of"]

Cells = tuple[tuple[str, str], ...]
"""(value, interval) of each study."""


@dataclass(frozen=True, slots=True)
class PanelPair:
    """The panels of two studies that ask the same."""

    title: str
    """Prompts and system prompt."""
    regions: tuple[str, ...]
    """Name of each study's region."""
    rows: tuple[tuple[str, Cells], ...]
    """Statistic → its cells."""


def pair_panels(landscapes: Sequence[Landscape]) -> list[PanelPair]:
    """Panels of the same prompts and system prompt: of several regions the first with the first, and so on."""
    found: list[PanelPair] = []
    by_name = [_named(landscape) for landscape in landscapes]
    for key in by_name[0]:
        if not all(key in names for names in by_name):
            continue
        panels = [names[key] for names in by_name]
        statistics = dict.fromkeys(name for panel in panels for name in panel.summary)
        rows = tuple((name, tuple(_cell(name, panel.summary.get(name)) for panel in panels)) for name in statistics)
        found.append(PanelPair(f"{key[0]}, {key[1]}", tuple(panel.region.name for panel in panels), rows))
    return found


def _named(landscape: Landscape) -> dict[tuple[str, str, int], Panel]:
    """Panels by prompts, system prompt, and how many of these came before."""
    found: dict[tuple[str, str, int], Panel] = {}
    for panel in landscape.panels:
        number = sum(key[:2] == (panel.prompts, panel.system) for key in found)
        found[panel.prompts, panel.system, number] = panel
    return found


def _cell(name: str, estimate: Estimate | None) -> tuple[str, str]:
    return ("–", "") if estimate is None else (value_words(name, estimate), interval_words(name, estimate))


def settings_that_differ(studies: Sequence[Found]) -> tuple[list[tuple[str, list[str]]], list[str]]:
    """Settings of studies that are not alike, each with its values; and the model of each.

    Raises:
        UsageError: where one cannot be read.
    """
    settings: list[dict[str, object]] = []
    for found in studies:
        with StoredStudy.open_read_only(found.path) as study:
            settings.append(json.loads(study.plan.study.canonical()))
    names = dict.fromkeys(name for one in settings for name in one)
    differing = [(name, [_words(one.get(name)) for one in settings]) for name in names]
    return [(name, values) for name, values in differing if len(set(values)) > 1], [
        str(one.get("model", "")) for one in settings
    ]


def side_of(found: Found, landscape: Landscape) -> dict[str, object]:
    """One study as plain values, for a page that pairs any two of them itself: as the functions above pair them.

    Raises:
        UsageError: where it cannot be read.
    """
    with StoredStudy.open_read_only(found.path) as study:
        settings = json.loads(study.plan.study.canonical())
    panels = [
        {
            "key": list(key),
            "region": panel.region.name,
            "rows": {name: _cell(name, estimate) for name, estimate in panel.summary.items()},
        }
        for key, panel in _named(landscape).items()
    ]
    return {
        "panels": panels,
        "settings": {name: _words(value) for name, value in settings.items()},
        "figures": [name for name, _ in pair_figures([found])],
    }


def _words(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else f"{text[:300]} …"


def pair_figures(studies: Sequence[Found]) -> list[tuple[str, list[bool]]]:
    """Names of the figures (PNG) of some studies, each with which of them have it."""
    listed: list[set[str]] = []
    for found in studies:
        folder = found.path / folders.FIGURES
        try:
            names = {path.name for path in folder.iterdir() if path.suffix == ".png"}
        except OSError:
            names = set[str]()
        listed.append({name for name in names if file_of(found, f"figures/{name}")})
    return [(name, [name in names for names in listed]) for name in sorted(set[str]().union(*listed))]
