"""Stored responses as a Parquet, JSONL or CSV file, one row each. Redacted like the report.

Which formats there are, other tools' among them, is known here; those are written by `interop`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Literal, cast

from safebasin.errors import UsageError, expected
from safebasin.landscape.samples import Sample, read_samples
from safebasin.landscape.stored import StoredStudy
from safebasin.study.plan import Plan
from safebasin.writing import whole

__all__ = ["FORMATS", "Format", "Table", "export", "format_of"]

Table = Literal["parquet", "jsonl", "csv"]
Format = Literal["parquet", "jsonl", "csv", "inspect", "hf-results", "model-card"]
Row = dict[str, object]
FORMATS: Mapping[Format, tuple[str, ...]] = {
    "parquet": ("parquet",),
    "jsonl": ("jsonl",),
    "csv": ("csv",),
    "inspect": ("eval",),
    "hf-results": ("yaml", "yml"),
    "model-card": ("md",),
}
"""By format the endings that say it."""


def format_of(output: Path, given: str | None = None) -> Format:
    """The format of a file by its ending, or the one that is given where it has none of ours.

    Raises:
        UsageError: where the ending says nothing, or something else than what is given.
    """
    ending = output.suffix.lower().removeprefix(".")
    if given is not None and given not in FORMATS:
        raise UsageError(expected("--format", f"one of {', '.join(FORMATS)}", given, "Choose one of them."))
    said = next((format for format, endings in FORMATS.items() if ending in endings), None)
    if said is not None:
        if given not in (None, said):
            remedy = "Leave it out, or name another file."
            raise UsageError(expected("--format", f"{said} for {output.name}, by its ending", given, remedy))
        return cast("Format", said)
    if given is None:
        endings = " or ".join(f".{name}" for endings in FORMATS.values() for name in endings)
        remedy = "Name it so, or say --format."
        raise UsageError(expected("output (-o)", f"a file that ends in {endings}", str(output), remedy))
    return cast("Format", given)


def export(study: StoredStudy, output: Path, *, format: Table, with_text: bool) -> int:
    """Write every stored response of a study's plan; returns the number of rows. The file is whole or not at all.

    Of the study's judges the verdicts of the version that it was last judged with are written, of others all.

    Raises:
        StoreError: where the file cannot be written.
    """
    rows = _Counted(_row(study.plan, sample) for sample in read_samples(study, with_text=with_text))
    with whole(output) as file:
        _WRITERS[format](rows, file)
    return rows.n


class _Counted:
    """Rows that are counted as they pass."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows = rows
        self.n = 0

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            self.n += 1
            yield row


def _write_jsonl(rows: Iterable[Row], file: Path) -> None:
    with file.open("w", encoding="utf-8") as opened:
        opened.writelines(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)


def _write_csv(rows: Iterable[Row], file: Path) -> None:
    """Coordinates and verdicts are JSON in their cells; what is withheld is an empty cell."""
    with file.open("w", encoding="utf-8", errors="backslashreplace", newline="") as opened:
        table = csv.DictWriter(opened, [*_PLAIN, *_NESTED])
        table.writeheader()
        table.writerows({**row, **{name: json.dumps(row[name]) for name in _NESTED}} for row in rows)


def _write_parquet(rows: Iterable[Row], file: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, getattr(pa, kind)()) for name, kind in _PLAIN.items()])
    schema = schema.append(pa.field("coords", pa.list_(pa.float64())))
    verdict = pa.struct([*((name, pa.string()) for name in ("judge", "version", "label")), ("success", pa.bool_())])
    schema = schema.append(pa.field("verdicts", pa.list_(verdict)))
    left = map(_encodable, rows)
    with pq.ParquetWriter(file, schema) as table:
        while group := list(islice(left, _ROW_GROUP)):
            table.write_table(pa.Table.from_pylist(group, schema=schema))


_WRITERS = {"jsonl": _write_jsonl, "csv": _write_csv, "parquet": _write_parquet}
_ROW_GROUP = 10_000
"""Rows of a Parquet file that are in memory at a time."""
_NESTED = ("coords", "verdicts")
_PLAIN = {
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
}


def _row(plan: Plan, sample: Sample) -> Row:
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
        "coords": list(sample.coords),
        "verdicts": [
            {"judge": v.judge, "version": v.version, "label": v.label, "success": v.success} for v in sample.verdicts
        ],
    }


def _encodable(row: Row) -> Row:
    """Parquet text is UTF-8: a lone surrogate becomes a visible escape."""
    return {
        key: value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for key, value in row.items()
    }
