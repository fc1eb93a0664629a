"""Responses as the page lists them: prompts once each, and rows that refer to them and to a cell. Pure.

Every string that others wrote is made visible here. A text that was withheld (None) stays withheld, and so does the
reason of its verdicts, which may quote it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from safebasin.records import Landscape, Panel, Verdict
from safebasin.report.layout import regions
from safebasin.report.sanitize import visible

__all__ = ["MAX_CHARACTERS", "MAX_SAMPLES", "SampleResponse", "ShownSample", "by_panel", "listed", "most_per_place"]

MAX_CHARACTERS = 4000
"""A longer text is cut in the page; `export` gives the whole."""

MAX_SAMPLES = 20_000
"""About as many responses stand in one page: of a larger study, the first prompts at every place."""


class SampleResponse(Protocol):
    """The response of a sample, as far as it is read."""

    @property
    def n_tokens(self) -> int: ...
    @property
    def finish_reason(self) -> str: ...


class ShownSample(Protocol):
    """One response with where it stands, what it answers and how it was judged; texts are None where withheld."""

    @property
    def region(self) -> int: ...
    @property
    def coords(self) -> tuple[float, ...]: ...
    @property
    def direction(self) -> int: ...
    @property
    def system(self) -> str: ...
    @property
    def prompts(self) -> str: ...
    @property
    def prompt_id(self) -> str: ...
    @property
    def category(self) -> str: ...
    @property
    def prompt_label(self) -> str: ...
    @property
    def prompt_text(self) -> str | None: ...
    @property
    def response(self) -> SampleResponse: ...
    @property
    def text(self) -> str | None: ...
    @property
    def label(self) -> str: ...
    @property
    def verdicts(self) -> tuple[Verdict, ...]: ...


_Said = tuple[str, str, bool | None, str]
"""Judge, label, success and reason."""
Key = tuple[int, str, str]
"""Region (−1: the origin, which serves all), prompt set, system prompt."""


def by_panel(landscape: Landscape, samples: Iterable[ShownSample]) -> list[list[ShownSample]]:
    """The samples of each panel, at most as many a place as fit into one page; the origin serves every region."""
    found: dict[Key, list[ShownSample]] = {}
    counts: dict[tuple[Key, int, tuple[float, ...]], int] = {}
    most = most_per_place(landscape)
    for sample in samples:
        key = (sample.region if sample.direction >= 0 else -1, sample.prompts, sample.system)
        place = (key, sample.direction, sample.coords if sample.direction >= 0 else ())
        counts[place] = counts.get(place, 0) + 1
        if counts[place] <= most:
            found.setdefault(key, []).append(sample)
    numbers = {region: number for number, region in enumerate(regions(landscape))}
    return [
        found.get((-1, p.prompts, p.system), []) + found.get((numbers[p.region], p.prompts, p.system), [])
        for p in landscape.panels
    ]


def most_per_place(landscape: Landscape) -> int:
    """Count the responses of a prompt set under a system prompt that a page has room for at each place."""
    n_cells = sum(len(panel.points) for panel in landscape.panels)
    n_planned = sum(cell.n_planned for panel in landscape.panels for cell in panel.points)
    return n_planned + 1 if n_planned <= MAX_SAMPLES else max(3, MAX_SAMPLES // n_cells)


def listed(panel: Panel, samples: Sequence[ShownSample]) -> dict[str, object]:
    """Prompts once each, and the rows that refer to them and to the panel's cells by number."""
    cells = {(cell.direction, cell.coords): number for number, cell in enumerate(panel.points)}
    origin = next((number for number, cell in enumerate(panel.points) if cell.direction < 0), None)
    prompts: dict[str, dict[str, object]] = {}
    rows: list[dict[str, object]] = []
    said: dict[_Said, _Said] = {}  # few verdicts differ, and each stands there once
    for sample in samples:
        cell = origin if sample.direction < 0 else cells.get((sample.direction, sample.coords))
        if cell is None:
            continue
        prompt = prompts.setdefault(sample.prompt_id, _prompt(sample))
        if sample.prompt_text is not None:
            prompt["text"] = _cut(sample.prompt_text)
        rows.append(_row(sample, cell, said))
    return {"prompts": prompts, "samples": rows}


def _prompt(sample: ShownSample) -> dict[str, object]:
    return {
        "id": visible(sample.prompt_id),
        "category": visible(sample.category),
        "label": visible(sample.prompt_label),
        "text": None,
    }


def _row(sample: ShownSample, cell: int, said: dict[_Said, _Said]) -> dict[str, object]:
    return {
        "cell": cell,
        "prompt": sample.prompt_id,
        "asked": sample.prompt_text is not None,
        "text": None if sample.text is None else _cut(sample.text),
        "label": visible(sample.label),
        "tokens": sample.response.n_tokens,
        "finish": visible(sample.response.finish_reason),
        "verdicts": [_verdict(v, said, with_reason=sample.text is not None) for v in sample.verdicts],
    }


def _verdict(verdict: Verdict, said: dict[_Said, _Said], *, with_reason: bool) -> _Said:
    stored = (verdict.judge, verdict.label, verdict.success, verdict.reason if with_reason else "")
    shown = said.get(stored)
    if shown is None:
        judge, label, success, reason = stored
        shown = said[stored] = visible(judge), visible(label), success, visible(reason)
    return shown


def _cut(text: str) -> str:
    if len(text) <= MAX_CHARACTERS:
        return visible(text)
    return visible(text[:MAX_CHARACTERS]) + f" … ({len(text) - MAX_CHARACTERS} more characters)"
