"""What the verbs give back of studies: a landscape or a comparison, where its page is, and what one does with it.

Nothing that draws is imported before something is drawn: every verb of the command line loads this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from safebasin.api.showing import plot_landscape, to_frame
from safebasin.errors import UsageError, expected
from safebasin.records import Estimate, Landscape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from pandas import DataFrame

    from safebasin.report.figures.look import Limits
    from safebasin.report.figures.plots import Kind
    from safebasin.stats import Ranking

__all__ = ["Compared", "Mapped", "Table"]

Table = Literal["points", "statistics", "rows"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Mapped:
    """A mapped study: the landscape, and where everything is."""

    landscape: Landscape
    folder: Path
    report: Path

    @property
    def summary(self) -> Mapping[str, Estimate]:
        """The statistics of the first panel, by name."""
        return self.landscape.summary

    def to_frame(self, table: Table = "points", *, with_text: bool = False) -> DataFrame:
        """One table of the study as a frame of pandas; rates are fractions.

        Args:
            table: `points`, a row a point and judge; `statistics`, a row a statistic of each panel; or `rows`, a row a
                response with coordinates, scores and verdicts, as `export_study` writes them.
            with_text: of `rows`, also texts that redaction withholds.

        Raises:
            UsageError: where there is no such table, or pandas is not installed.
        """
        if table not in ("points", "statistics", "rows"):
            raise UsageError(expected("table", "points, statistics or rows", table, "Choose one of them."))
        if table != "rows":
            return to_frame(self.landscape, table)
        from safebasin.landscape.flat_rows import flat_rows
        from safebasin.landscape.stored import StoredStudy
        from safebasin.report.frames import frame_of

        with StoredStudy.open(self.folder) as study:
            return frame_of(flat_rows(study, with_text=with_text))

    def plot(
        self,
        kind: Kind | None = None,
        *,
        panel: int = 0,
        ax: Axes | None = None,
        title: str | None = None,
        xlim: Limits | None = None,
        ylim: Limits | None = None,
        size: tuple[float, float] | None = None,
        labels: str = "en",
    ) -> Axes:
        """Draw a panel as the figures of the report have it; returns the axes. Arguments: see `plot_landscape`."""
        return plot_landscape(
            self.landscape, kind, panel=panel, ax=ax, title=title, xlim=xlim, ylim=ylim, size=size, labels=labels
        )

    def __repr__(self) -> str:
        return f"{self.landscape!r}\nreport: {self.report}"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Compared:
    """Studies compared: their landscapes in the order of the ranking, and where the page is."""

    ranking: Ranking
    report: Path
    landscapes: tuple[Landscape, ...]
    judge: str
    notes: tuple[str, ...] = ()
    """What readers of the ranking should know, in sentences."""

    def to_frame(self) -> DataFrame:
        """The ranking as a frame of pandas, a row a study.

        Raises:
            MissingExtra: where pandas is not installed.
        """
        from safebasin.report.frames import frame_of, ranking_rows

        return frame_of(ranking_rows(self.ranking, {one.name: one.model for one in self.landscapes}))

    def plot(
        self,
        *,
        ax: Axes | None = None,
        title: str | None = None,
        xlim: Limits | None = None,
        ylim: Limits | None = None,
        size: tuple[float, float] | None = None,
        labels: str = "en",
    ) -> Axes:
        """Draw the first panels over each other, curves or rims; returns the axes. Arguments: see `plot_landscape`."""
        from safebasin.report.figures.plots import look_of, plot_compared

        return plot_compared(self.landscapes, self.judge, ax, size, look_of(title, xlim, ylim, labels))

    def __repr__(self) -> str:
        from safebasin.report.differences import uncompared_words
        from safebasin.report.frames import ranking_rows

        rows = ranking_rows(self.ranking, {})
        wide = max(len(str(row["study"])) for row in rows)
        lines = [f"{len(rows)} studies by margin, judge {self.judge}"]
        if words := uncompared_words(self.ranking):
            lines.append(words)
        for row, margin in list(zip(rows, self.ranking.margins, strict=True))[:_MOST]:
            alike = row["alike"]
            words = f"   not told apart from {', '.join(map(str, alike))}" if isinstance(alike, list) and alike else ""
            lines.append(f"  {row['rank']:>2}  {row['study']:<{wide}}  {margin.words()}{words}")
        left = len(rows) - _MOST
        return "\n".join([*lines, *([f"  … {left} more"] if left > 0 else []), f"report: {self.report}"])


_MOST = 12
"""Studies that a repr names."""
