"""A tree with what was read of it: the one source of every page, for the server and for a bundle of files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from safebasin.errors import UsageError, expected
from safebasin.landscape.browsing import PATIENCE_S, browse
from safebasin.landscape.stored import StoredStudy
from safebasin.report.colors import OUTCOME_WORDS
from safebasin.report.layout import model_name
from safebasin.viewer.beside import pair_figures, pair_panels, settings_that_differ, side_of
from safebasin.viewer.pages import address, home_of, render
from safebasin.viewer.progress import Counted, Progress, read_progress
from safebasin.viewer.reports import Reports
from safebasin.viewer.rows import choices_of, filter_from, shown
from safebasin.viewer.summary import Kept, Line, document_of, lines_of
from safebasin.viewer.tree import Found, Root, file_of, walk

__all__ = ["Shelf"]

ROWS = 50
"""Responses on a page that is served."""
ROWS_OF_A_FILE = 2_000
"""Responses on the page of a bundle, which filters them itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """A tree that is shown."""

    roots: tuple[Root, ...]
    live: bool = True
    """Served; else written as files."""
    with_text: bool = False
    reports: Reports = field(init=False)
    _said: Kept = field(init=False, default_factory=dict)
    _counted: dict[Path, Counted] = field(init=False, default_factory=dict[Path, Counted])

    def __post_init__(self) -> None:
        object.__setattr__(self, "reports", Reports(self.with_text))

    def lines(self) -> list[Line]:
        """A line for each folder of the tree, as it is now."""
        return lines_of(list(walk(self.roots)), self._said)

    def list_page(self, lines: Sequence[Line]) -> str:
        """The list."""
        return render(
            "list",
            title="safebasin",
            home="",
            live=self.live,
            lines=lines,
            roots=[root.name for root in self.roots],
            kinds=sorted({line.kind for line in lines}),
            has_parts=any(line.inside for line in lines),
            address=lambda line: address(line.found.id),
        )

    def folder_page(self, found: Found) -> str:
        """The page of a folder: how far it is, above its report; a table where it has none."""
        line = self._line(found)
        if file_of(found, "report.html") is None and found.kind.name in _TABLES:
            return self._table_page(line)
        progress = self.progress(found) if found.kind.name == "a study" else None
        return self._page("folder", line, body="framed", tab="report", progress=progress, page="report.html")

    def models_page(self, found: Found) -> str:
        """The page of the tuned models that a study asks beside its base, as the command wrote it.

        Raises:
            UsageError: where it has none.
        """
        if file_of(found, "models.html") is None:
            raise UsageError(f"{found.name} has no page of tuned models.")
        progress = self.progress(found)
        return self._page(
            "folder", self._line(found), body="framed", tab="models", progress=progress, page="models.html"
        )

    def progress(self, found: Found) -> Progress:
        """Read how far a study is."""
        return read_progress(found.path, self._counted)

    def _table_page(self, line: Line) -> str:
        columns, rows = _rows_of(line.found.kind.name, document_of(line.found))
        id = line.found.id
        parts = [one for one in lines_of(list(walk([Root(id, line.found.path)]))) if one.found.id != id]
        return self._page(
            "document", line, tab="report", columns=columns, rows=rows, parts=parts,
            part_address=lambda part: home_of(id) + address(part.found.id),
        )  # fmt: skip

    def samples_page(self, found: Found, query: Mapping[str, str]) -> str:
        """Responses of a study that pass the filter of an address.

        Raises:
            UsageError: where the folder is no study, or cannot be read.
        """
        if found.kind.name != "a study":
            raise UsageError(expected("samples", "those of a study", found.name, "Open one of its studies."))
        wanted, after = filter_from(query), query.get("after", "")[:200]
        n, patience = (ROWS, PATIENCE_S) if self.live else (ROWS_OF_A_FILE, math.inf)
        with StoredStudy.open_read_only(found.path) as study:
            page = browse(study, wanted, after=after, n=n, with_text=self.with_text, patience=patience)
            rows, choices, total = [shown(study, one) for one in page.samples], choices_of(study), study.rows.count()
            is_world = study.plan.study.is_world
        kept = {name: value for name, value in query.items() if name != "after" and value}
        return self._page(
            "samples", self._line(found), tab="samples", rows=rows, wanted=wanted, known=tuple(OUTCOME_WORDS),
            outcomes=choices.outcomes, points=choices.points, categories=choices.categories, judges=choices.judges,
            start=f"samples.html?{urlencode(kept)}" if after else "",
            after=f"samples.html?{urlencode({**kept, 'after': page.after})}" if page.after and self.live else "",
            about=self._about(len(rows), total, is_world=is_world),
        )  # fmt: skip

    def _about(self, n: int, total: int, *, is_world: bool) -> str:
        held = f"{n:,} of {total:,} responses" if self.live or n < total else f"{total:,} responses"
        more = "" if self.live or n == total else " (the first; safebasin export gives all)"
        if is_world:
            return f"{held}{more}. Of an embedded world: every text is shown."
        told = "every text is shown (--with-text)" if self.with_text else "texts are shown of refusals only"
        return f"{held}{more}; {told}."

    def beside_page(self, pair: Sequence[Found]) -> str:
        """Two studies side by side.

        Raises:
            UsageError: where one is no study, or cannot be read.
        """
        for found in pair:
            if found.kind.name != "a study":
                raise UsageError(expected("side by side", "two studies", found.name, "Mark studies in the list."))
        landscapes = [self.reports.landscape(found) for found in pair]
        settings, models = settings_that_differ(pair)
        names = [found.name for found in pair]
        sides = [
            {
                "name": id if names[0] == names[1] else name,
                "model": model_name(model),
                "address": address(id),
                "responses": words,
            }
            for id, name, model, words in zip(
                [found.id for found in pair], names, models, map(self._responses, pair), strict=True
            )
        ]
        pictures = [
            {
                "name": name.removesuffix(".png"),
                "sources": [f"{address(f.id)}figures/{name}" if own else "" for f, own in zip(pair, has, strict=True)],
            }
            for name, has in pair_figures(pair)
        ]
        return render(
            "beside", title=f"{sides[0]['name']} beside {sides[1]['name']}", home="", live=self.live, sides=sides,
            panels=pair_panels(landscapes), settings=settings, pictures=pictures,
        )  # fmt: skip

    def pairs_page(self, studies: Sequence[Found]) -> str:
        """Any two of some studies side by side, chosen by the address: the page of a bundle, which asks no server.

        A study that cannot be read is left out.
        """
        sides: dict[str, object] = {}
        for found in studies:
            with suppress(UsageError):
                landscape = self.reports.landscape(found)
                sides[found.id] = {
                    "name": found.name, "model": model_name(landscape.model), "address": address(found.id),
                    "responses": self._responses(found), **side_of(found, landscape),
                }  # fmt: skip
        return render("pairs", title="Side by side", home="", live=self.live, sides=json.dumps(sides))

    def _responses(self, found: Found) -> str:
        progress = self.progress(found)
        return f"{progress.done:,} of {progress.planned:,} responses"

    def reason_page(self, reason: str, *, home: str = "") -> str:
        """Say why something cannot be shown."""
        return render("reason", title="Nothing to show here", home=home, live=self.live, reason=reason)

    def _line(self, found: Found) -> Line:
        """The line of a folder that can be opened.

        Raises:
            UsageError: saying why it cannot.
        """
        line = lines_of([found], self._said)[0]
        if line.problem:
            raise UsageError(line.problem)
        return line

    def _page(self, template: str, line: Line, **values: Any) -> str:
        return render(
            template,
            title=line.found.name,
            home=home_of(line.found.id),
            live=self.live,
            line=line,
            has_models=file_of(line.found, "models.html") is not None,
            **values,
        )


_TABLES = ("claims", "a sweep")
"""Kinds of folders whose command writes no page."""


def _rows_of(kind: str, document: Any) -> tuple[list[str], list[list[str]]]:
    """The document of a folder without a page as a table: columns and rows."""
    try:
        if kind == "claims":
            return ["claim", "answer", "found", "hypothesis", "source"], [_claim(one) for one in document["claims"]]
        columns = list(dict.fromkeys(str(name) for run in document for name in run))
        return columns, [[str(run.get(name, "–")) for name in columns] for run in document]
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise UsageError(f"the document must be what this release writes; got {error!r}. Another wrote it?") from error


def _claim(one: Mapping[str, Any]) -> list[str]:
    found = (one.get("finding") or {}).get("estimate") or {}
    value, low, high = (found.get(name) for name in ("value", "low", "high"))
    said = (
        "–" if value is None else f"{value:.3g}" + ("" if low is None or high is None else f" [{low:.3g}, {high:.3g}]")
    )
    return [str(one["name"]), str(one["answer"]), said, str(one.get("hypothesis", "")), str(one.get("source", ""))]
