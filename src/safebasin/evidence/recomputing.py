"""Every statistic derived anew from the rows, and compared with what the results say. Writes nothing, asks nobody.

Verdicts are taken from the rows: what a judge says of a text is not asked again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from safebasin.audit.recounting import recount
from safebasin.landscape.compare_studies import compare_studies
from safebasin.landscape.landscape_json import to_json
from safebasin.landscape.results import read_landscape
from safebasin.landscape.stored import StoredStudy
from safebasin.landscape.sweep import read_sweep, sweep_document
from safebasin.landscape.traces import is_traced
from safebasin.report.comparison import comparison_document
from safebasin.store.folder import LANDSCAPE
from safebasin.store.withholding import is_withheld

__all__ = ["comparison_findings", "differences", "landscape_findings", "sweep_findings", "verdict_findings"]

CLOSE = 1e-9
"""Relative difference of two numbers that are taken as equal: libraries may add in another order."""
SHOWN = 10


def landscape_findings(folder: Path, held: Mapping[str, object], note: Callable[[str], None]) -> list[str]:
    """List what of `landscape.json` the rows do not say. The name of the folder may be another one.

    Raises:
        UsageError: where the rows make no landscape.
    """
    left_out = ["name"]
    with StoredStudy.open(folder) as study:
        now = json.loads(to_json(read_landscape(study)))
        if study.plan.study.trajectories and not is_traced(study.store, study.plan):
            left_out.append("trajectories")
            note("trajectories were not derived anew: their training runs are not there as they were")
        left_out += _unread(study, note)
    return _listed(LANDSCAPE, differences(_without(held, left_out), _without(now, left_out)))


def verdict_findings(folder: Path, held: Mapping[str, object], note: Callable[[str], None]) -> list[str]:
    """List what of an audit's `verdict.json` the rows do not say.

    Raises:
        UsageError: where the rows make no verdict.
    """
    now, left_out = recount(folder, held)
    for said in left_out:
        note(f"not derived anew: {said}")
    return _listed("verdict.json", differences({key: held.get(key) for key in now}, json.loads(json.dumps(now))))


def sweep_findings(folder: Path, held: Mapping[str, object], note: Callable[[str], None]) -> list[str]:
    """List what of the `models.json` of a study of many tuned models the rows do not say.

    Raises:
        UsageError: where the rows make no such tables.
    """
    failed = held.get("failed")
    if failed:
        note("not derived anew: why models are not in the study")
    with StoredStudy.open(folder) as study:
        now = json.loads(json.dumps(sweep_document(read_sweep(study, cast("dict[str, str]", failed or {})))))
        left_out = _unread(study, note)
    left_out += _fewer(held, now)
    return _listed("models.json", differences(_without(held, left_out), _without(now, left_out)))


def _fewer(held: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """The key of notes, where all that are held are given now, too: an earlier release said fewer of them."""
    said, given = (cast("list[object]", document.get("notes", [])) for document in (held, now))
    return ["notes"] if isinstance(said, list) and all(text in given for text in said) else []


def _unread(study: StoredStudy, note: Callable[[str], None]) -> list[str]:
    """The keys of results that are read off texts, where a copy has none."""
    if not is_withheld(study.store):
        return []
    note("notes that are read off texts were not derived anew: the copy has none")
    return ["notes"]


def comparison_findings(studies: Sequence[Path], held: Mapping[str, object]) -> list[str]:
    """List what of a `comparison.json` the rows of its studies do not say; the studies in the order of the ranking.

    Raises:
        UsageError: where these cannot be compared.
    """
    now = json.loads(json.dumps(comparison_document(compare_studies(studies))))
    left_out = _fewer(held, now)
    return _listed("comparison.json", differences(_without(held, left_out), _without(now, left_out)))


def _without(held: Mapping[str, object], keys: list[str]) -> dict[str, object]:
    return {key: value for key, value in held.items() if key not in keys}


def _listed(name: str, found: Iterator[str]) -> list[str]:
    every = list(found)
    more = [f"{name}: and {len(every) - SHOWN} more that the rows do not say"] * (len(every) > SHOWN)
    return [f"{name}: {what}" for what in every[:SHOWN]] + more


def differences(held: object, now: object, where: str = "") -> Iterator[str]:
    """Name the places where two JSON documents differ, each in a sentence.

    Args:
        held: what is written.
        now: what the rows say.
        where: path of the two in their documents.
    """
    if isinstance(held, dict) and isinstance(now, dict):
        one, other = cast("dict[str, object]", held), cast("dict[str, object]", now)
        for key in [*other, *(key for key in one if key not in other)]:
            path = f"{where}.{key}" if where else key
            if key not in one or key not in other:
                yield f"{path} is {'not there' if key not in one else 'nothing that the rows give'}"
            else:
                yield from differences(one[key], other[key], path)
    elif isinstance(held, list) and isinstance(now, list):
        rows, others = cast("list[object]", held), cast("list[object]", now)
        if len(rows) != len(others):
            yield f"{where} has {len(rows)} entries, the rows give {len(others)}"
        for number, (row, other) in enumerate(zip(rows, others, strict=False)):
            yield from differences(row, other, f"{where}[{number}]")
    elif not _equal(held, now):
        yield f"{where} is {json.dumps(held)[:60]}, the rows give {json.dumps(now)[:60]}"


def _equal(held: object, now: object) -> bool:
    if isinstance(held, bool) or isinstance(now, bool) or held is None or now is None:
        return held is now
    if isinstance(held, (int, float)) and isinstance(now, (int, float)):
        return math.isclose(held, now, rel_tol=CLOSE, abs_tol=CLOSE)
    return held == now
