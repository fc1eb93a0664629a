"""Stored responses as flat rows, each value in a column of its own: what a table, a sheet or a frame takes.

One column a coordinate, and three a judge: `verdict:JUDGE` (label), `success:JUDGE` and `grade:JUDGE`. Redacted like
the report. Not how a file is written: `export`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from safebasin.landscape.last_plan import JudgeVersion, choose_judges
from safebasin.landscape.points import AXES
from safebasin.landscape.row_blocks import Columns, RowBlocks
from safebasin.landscape.stored import StoredStudy

__all__ = ["Kind", "flat_columns", "flat_pages", "flat_rows"]

Kind = Literal["string", "int64", "float64", "bool"]

_PLAIN: Mapping[str, Kind] = {
    "id": "string",
    "prompt_id": "string",
    "prompt": "string",
    "response": "string",
    "region": "string",
    "direction": "int64",
    "system": "string",
    "prompts": "string",
    "category": "string",
    "behavior": "string",
    "label": "string",
    "outcome": "string",
    "n_tokens": "int64",
    "finish_reason": "string",
    "nll": "float64",
    "n_scored": "int64",
}
"""Of every study. `nll` is the mean negative log-likelihood of the first `n_scored` tokens under θ₀, in nats a token:
as far as the judges needed it."""


def flat_columns(study: StoredStudy) -> dict[str, Kind]:
    """Name → kind of every column of a study's rows."""
    found: dict[str, Kind] = {**_PLAIN, **dict.fromkeys(_axes(study), "float64")}
    for name, _ in _judges(study):
        found |= {f"verdict:{name}": "string", f"success:{name}": "bool", f"grade:{name}": "float64"}
    return found


def flat_pages(study: StoredStudy, *, with_text: bool = False) -> Iterator[Columns]:
    """Every stored response of a study's plan, a place at a time, each of `flat_columns` with None where there is none.

    Of a judge whose verdicts are there in several versions those of the last, or of the one used most.
    """
    names, judges, blocks = _axes(study), _judges(study), RowBlocks.read(study, with_text=with_text)
    for block in blocks:
        page = block.plain
        for name, coord in zip(names, (*block.coords, None), strict=False):
            page[name] = [coord] * len(block)
        for judge in judges:
            there = judge in blocks.said  # none of the study's may have judged yet
            nothing: list[object] = [None] * len(block)
            page[f"verdict:{judge[0]}"] = blocks.labels(judge, block) if there else nothing
            page[f"success:{judge[0]}"] = blocks.successes(judge, block) if there else nothing
            page[f"grade:{judge[0]}"] = blocks.grades_of(judge, block)
        yield page


def flat_rows(study: StoredStudy, *, with_text: bool = False) -> Iterator[dict[str, object]]:
    """The same row by row."""
    for page in flat_pages(study, with_text=with_text):
        for values in zip(*page.values(), strict=True):
            yield dict(zip(page, values, strict=True))


def _axes(study: StoredStudy) -> tuple[str, ...]:
    return AXES[: max((len(region.axes) for region in study.plan.regions), default=1)]


def _judges(study: StoredStudy) -> tuple[JudgeVersion, ...]:
    """The study's judges, then those that are stored here beside them."""
    others = sorted({name for name, _, _ in study.store.judge_versions()} - dict(study.judges).keys())
    return (*study.judges, *choose_judges(study.store, others, ()))
