"""Results as frames of pandas, which is optional: what `to_frame` of a result does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from safebasin.errors import MissingExtra
from safebasin.report.differences import alike

if TYPE_CHECKING:
    from pandas import DataFrame

    from safebasin.records import Landscape
    from safebasin.stats import Ranking

__all__ = ["flattened", "frame_of", "loss_rows", "ranking_rows", "statistic_rows", "sweep_rows"]


def frame_of(rows: Iterable[Mapping[str, Any]]) -> DataFrame:
    """Rows as a frame, a column for every name that one of them has.

    Raises:
        MissingExtra: where pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise MissingExtra("to_frame", "pandas", "frames") from error
    return pandas.DataFrame(list(rows))


def flattened(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with the parts of each record in it as columns: `difference` becomes `difference_value`, …"""
    found: dict[str, Any] = {}
    for name, value in record.items():
        found |= {f"{name}_{key}": part for key, part in value.items()} if isinstance(value, dict) else {name: value}
    return found


def statistic_rows(landscape: Landscape) -> list[dict[str, object]]:
    """A row a statistic of each panel; rates are fractions, as everywhere but on pages."""
    return [
        {
            "region": panel.region.name,
            "prompts": panel.prompts,
            "system": panel.system,
            "judge": panel.judge,
            "statistic": name,
            **asdict(estimate),
        }
        for panel in landscape.panels
        for name, estimate in panel.summary.items()
    ]


def sweep_rows(document: Mapping[str, Any]) -> list[dict[str, object]]:
    """A row a model under each prompt set and system prompt, in the order of `models.json`."""
    return [
        {**{name: table[name] for name in ("prompts", "system", "judge", "is_benign")}, **flattened(model)}
        for table in document["tables"]
        for model in table["models"]
    ]


def loss_rows(losses: Sequence[float], held_out: Sequence[tuple[int, float]]) -> list[dict[str, object]]:
    """A row a step: its loss, from step 1 on, and that on held-out rows where they were read; None elsewhere."""
    trained, held = dict(enumerate(losses, start=1)), dict(held_out)
    steps = sorted({*trained, *held})
    return [{"step": step, "loss": trained.get(step), "held_out": held.get(step)} for step in steps]


def ranking_rows(ranking: Ranking, models: Mapping[str, str]) -> list[dict[str, object]]:
    """A row a study, the widest margin first; `alike` are those it was tested against and cannot be told apart from."""
    return [
        {
            "rank": place,
            "study": name,
            "model": models.get(name, ""),
            "statistic": "margin",
            **asdict(margin),
            "alike": [other for other in ranking.order if other in alike(ranking, name)],
        }
        for place, (name, margin) in enumerate(zip(ranking.order, ranking.margins, strict=True), start=1)
    ]
