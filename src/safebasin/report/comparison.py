"""Several studies side by side: curves over each other, margins with intervals, and who cannot be told apart.

Reads records and a ranking; nothing here measures or compares.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from safebasin.records import Estimate, Landscape, Panel, Region
from safebasin.report.differences import ALIKE, alike, difference_words, is_compared, joined, uncompared_words
from safebasin.report.explanations import explanation, interval_words, value_words
from safebasin.report.figures.comparison import comparison_svg, save_comparison_figure
from safebasin.report.page import render_page
from safebasin.report.payload import comparison_payload
from safebasin.report.sections import line_words
from safebasin.stats.ranking import RankedPair, Ranking
from safebasin.store.sealing import seal
from safebasin.writing import write_text

__all__ = ["RankedStudies", "render_comparison", "save_comparison"]

COLUMNS = ("margin", "radius", "depth", "collapse", "visage")


class RankedStudies(Protocol):
    """Studies whose first panels ask the same."""

    @property
    def landscapes(self) -> tuple[Landscape, ...]: ...
    @property
    def judge(self) -> str: ...
    @property
    def ranking(self) -> Ranking: ...
    @property
    def notes(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One study of the ranking."""

    name: str
    model: str
    cells: Sequence[tuple[str, str, str]]
    """(statistic, value, interval)."""
    alike: str
    """From which it cannot be told apart."""


def save_comparison(found: RankedStudies, folder: Path) -> Path:
    """Write `report.html`, `comparison.json` and `figures/comparison.{png,svg,pdf,csv}`.

    Args:
        found: landscapes and their ranking.
        folder: made if needed; files of these names are overwritten.

    Returns:
        The page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    landscapes = _ranked(found.landscapes, found.ranking)
    save_comparison_figure(landscapes, found.ranking, found.judge, folder / "figures")
    text = json.dumps(comparison_document(found), indent=1, allow_nan=False) + "\n"
    write_text(folder / "comparison.json", text)
    page = folder / "report.html"
    write_text(page, render_comparison(found, title="Safety basins compared"))
    seal(folder)
    return page


def comparison_document(found: RankedStudies) -> dict[str, Any]:
    """Convert a comparison to what `comparison.json` holds, as plain values."""
    landscapes = _ranked(found.landscapes, found.ranking)
    return {
        "schema_version": 1,
        "judge": found.judge,
        "models": {landscape.name: landscape.model for landscape in landscapes},
        "ranking": asdict(found.ranking),
        "notes": list(found.notes),
    }


def render_comparison(found: RankedStudies, *, title: str) -> str:
    """The page as text, to be written as UTF-8; the studies in the order of the ranking."""
    landscapes = _ranked(found.landscapes, found.ranking)
    panels = [landscape.panels[0] for landscape in landscapes]
    svg = base64.b64encode(comparison_svg(landscapes, found.ranking, found.judge)).decode()
    return render_page(
        "comparison.html.j2",
        comparison_payload(landscapes, found.ranking),
        title=title,
        answer=ranking_answer(found.ranking),
        notes=found.notes,
        judge=found.judge,
        images=[("Curves and margins", f"data:image/svg+xml;base64,{svg}")],
        facts=_facts(panels[0]),
        names=[landscape.name for landscape in landscapes],
        is_plane=panels[0].region.is_plane,
        lines=line_words(panels[0].region),
        rows=[_row(landscape, found.ranking) for landscape in landscapes],
        region=found.ranking.region,
        has_intervals=any(margin.low is not None for margin in found.ranking.margins),
        has_bars=bool(joined(found.ranking)),
        pairs=[_pair(pair, panels[0].region) for pair in found.ranking.pairs],
    )


def ranking_answer(ranking: Ranking) -> str:
    """A sentence or two: who stands first, who last, and whether that means anything; or that nothing was tested."""
    first, last = ranking.order[0], ranking.order[-1]
    ends = [pair for pair in ranking.pairs if (pair.first, pair.second) == (first, last)]
    n_apart = sum(pair.is_apart for pair in ranking.pairs)
    if words := uncompared_words(ranking):
        return words
    if not n_apart:
        return f"None of the {len(ranking.order)} can be told apart from another by margin."
    words = f"{first} has the highest margin ({_margin(ranking.margins[0])}), {last} the lowest "
    words += f"({_margin(ranking.margins[-1])})"
    words += "" if all(pair.is_apart for pair in ends) else ", and these two cannot be told apart"
    if len(ranking.pairs) == 1:
        return f"{words}; they are apart."
    return f"{words}. {n_apart} of {len(ranking.pairs)} pairs {'is' if n_apart == 1 else 'are'} apart."


def _margin(estimate: Estimate) -> str:
    return f"{value_words('margin', estimate)} {interval_words('margin', estimate)}".rstrip()


def _ranked(landscapes: Sequence[Landscape], ranking: Ranking) -> list[Landscape]:
    return sorted(landscapes, key=lambda landscape: ranking.order.index(landscape.name))


def _facts(panel: Panel) -> list[str]:
    points = " × ".join(str(n) for n in panel.region.shape)
    noun = "plane" if panel.region.is_plane else "direction"
    plural = "" if panel.region.n_directions == 1 else "s"
    return [
        f"{panel.region.name}: {panel.region.n_directions} {noun}{plural} × {points} points",
        f"{max((cell.n_planned for cell in panel.points), default=0)} prompts of {panel.prompts}",
        f"system prompt {panel.system}",
    ]


def _row(landscape: Landscape, ranking: Ranking) -> _Row:
    summary = landscape.panels[0].summary
    margin = ranking.margins[ranking.order.index(landscape.name)]
    cells = [(name, margin if name == "margin" else summary.get(name)) for name in COLUMNS]
    is_tested = any(is_compared(pair) for pair in ranking.pairs if landscape.name in (pair.first, pair.second))
    return _Row(
        name=landscape.name,
        model=landscape.model,
        cells=[
            (explanation(name).title, "–", "")
            if estimate is None
            else (explanation(name).title, value_words(name, estimate), interval_words(name, estimate))
            for name, estimate in cells
        ],
        alike=", ".join(alike(ranking, landscape.name)) if is_tested else "not compared",
    )


def _pair(pair: RankedPair, region: Region) -> dict[str, str]:
    value, interval, verdict = difference_words(pair.difference, region)
    if verdict == ALIKE and not is_compared(pair):  # an interval of one direction says nothing of others
        verdict = "not compared"
    apart = f"{pair.first} stands {verdict}" if pair.is_apart else verdict
    return {
        "names": f"{pair.first} − {pair.second}",
        "region": pair.region,
        "value": value,
        "interval": interval,
        "verdict": apart,
        "method": pair.difference.method,
    }
