"""The data of a figure as rows, each number as it is drawn or as it was estimated: rates are fractions. Pure.

What stands beside a figure as CSV, and what the API gives as a frame.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from safebasin.records import Panel
from safebasin.report.curves import composition

__all__ = ["Row", "csv_of", "measurement_rows", "outcome_rows", "point_rows"]

Row = dict[str, object]


def point_rows(panels: Iterable[Panel], **named: str) -> list[Row]:
    """A row a point and judge: where it is, and the rate of success with its interval. Not measured: no row.

    Args:
        panels: what is drawn.
        **named: columns before all others, such as the study's name.
    """
    return [
        {
            **named,
            **_panel(panel),
            "direction": cell.direction,
            "alpha": cell.coords[0],
            **({"beta": cell.coords[1]} if len(cell.coords) > 1 else {}),
            "judge": judge,
            "asr": rate.value,
            "low": rate.low,
            "high": rate.high,
            "n": rate.n,
            "n_missing": rate.n_missing,
            "n_planned": cell.n_planned,
        }
        for panel in panels
        for cell in panel.points
        for judge, rate in cell.asr.items()
    ]


def outcome_rows(panel: Panel) -> list[Row]:
    """A row an α: the share of each outcome, pooled over directions."""
    return [{**_panel(panel), "alpha": place.alpha, "n": place.n, **place.shares} for place in composition(panel)]


def measurement_rows(panel: Panel) -> list[Row]:
    """A row a measurement and point: perplexity, KL, scores of tasks."""
    return [
        {
            "region": panel.region.name,
            "name": found.name,
            "direction": found.direction,
            "alpha": found.coords[0],
            **({"beta": found.coords[1]} if len(found.coords) > 1 else {}),
            "value": found.value,
            "error": found.error,
            "n": found.n,
        }
        for found in panel.measurements
    ]


def csv_of(rows: Sequence[Mapping[str, object]]) -> bytes:
    """Rows as a CSV file: a header of every column that a row has, and an empty cell where one has none."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def _panel(panel: Panel) -> Row:
    return {"region": panel.region.name, "prompts": panel.prompts, "system": panel.system}
