"""Stored responses as flat rows, each value in a column of its own: what a table, a sheet or a frame takes.

One column a coordinate, and three a judge: `verdict:JUDGE` (label), `success:JUDGE` and `grade:JUDGE`. Redacted like
the report. Not how a file is written: `export`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Literal

from safebasin.landscape.last_plan import JudgeVersion, choose_judges
from safebasin.landscape.points import AXES
from safebasin.landscape.samples import Sample, read_samples
from safebasin.landscape.stored import StoredStudy
from safebasin.study.plan import Plan

__all__ = ["Kind", "flat_columns", "flat_rows", "plain_values"]

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


def plain_values(plan: Plan, sample: Sample) -> dict[str, object]:
    """The values of the columns that every study has; None where withheld or not scored."""
    mean = None if sample.score is None else sample.score.mean()
    return {
        "id": sample.response.key,
        "prompt_id": sample.prompt_id,
        "prompt": sample.prompt_text,
        "response": sample.text,
        "region": plan.regions[sample.region].name,
        "direction": sample.direction,
        "system": sample.system,
        "prompts": sample.prompts,
        "category": sample.category,
        "behavior": sample.behavior,
        "label": sample.prompt_label,
        "outcome": sample.label,
        "n_tokens": sample.response.n_tokens,
        "finish_reason": sample.response.finish_reason,
        "nll": mean if mean is not None and math.isfinite(mean) else None,
        "n_scored": None if sample.score is None else sample.score.count(),
    }


def flat_columns(study: StoredStudy) -> dict[str, Kind]:
    """Name → kind of every column of a study's rows."""
    found: dict[str, Kind] = {**_PLAIN, **dict.fromkeys(_axes(study), "float64")}
    for name, _ in _judges(study):
        found |= {f"verdict:{name}": "string", f"success:{name}": "bool", f"grade:{name}": "float64"}
    return found


def flat_rows(study: StoredStudy, *, with_text: bool = False) -> Iterator[dict[str, object]]:
    """Every stored response of a study's plan, a value for each of `flat_columns`, None where there is none.

    Of a judge whose verdicts are there in several versions those of the last, or of the one used most.
    """
    names, judges = _axes(study), _judges(study)
    for sample in read_samples(study, with_text=with_text, with_scores=True):
        row = plain_values(study.plan, sample)
        row |= {name: coord for name, coord in zip(names, (*sample.coords, None), strict=False)}
        verdicts = {(v.judge, v.version): v for v in sample.verdicts}
        for name, version in judges:
            found = verdicts.get((name, version))
            row[f"verdict:{name}"] = None if found is None else found.label
            row[f"success:{name}"] = None if found is None else found.success
            row[f"grade:{name}"] = None if found is None else found.grade
        yield row


def _axes(study: StoredStudy) -> tuple[str, ...]:
    return AXES[: max((len(region.axes) for region in study.plan.regions), default=1)]


def _judges(study: StoredStudy) -> tuple[JudgeVersion, ...]:
    """The study's judges, then those that are stored here beside them."""
    others = sorted({name for name, _, _ in study.store.judge_versions()} - dict(study.judges).keys())
    return (*study.judges, *choose_judges(study.store, others, ()))
