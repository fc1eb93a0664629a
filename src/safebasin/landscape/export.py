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
from safebasin.landscape.flat_rows import Kind, flat_columns, flat_rows, plain_values
from safebasin.landscape.samples import read_samples
from safebasin.landscape.stored import StoredStudy
from safebasin.writing import whole

__all__ = ["FORMATS", "Format", "Table", "export", "format_of"]

Table = Literal["parquet", "jsonl", "csv"]
Format = Literal["parquet", "jsonl", "csv", "inspect", "hf-results", "model-card"]
Row = dict[str, object]
Columns = Mapping[str, Kind]
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

    Parquet and CSV have flat columns, as `flat_rows` says; JSON lines nest coordinates and verdicts, those of the
    study's judges in the version that it was last judged with, of others all.

    Raises:
        StoreError: where the file cannot be written.
    """
    if format == "jsonl":
        rows = _Counted(_nested(study, with_text=with_text))
    else:
        rows = _Counted(flat_rows(study, with_text=with_text))
    with whole(output) as file:
        _WRITERS[format](rows, file, flat_columns(study))
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


def _write_jsonl(rows: Iterable[Row], file: Path, _: Columns) -> None:
    with file.open("w", encoding="utf-8") as opened:
        opened.writelines(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)


def _write_csv(rows: Iterable[Row], file: Path, columns: Columns) -> None:
    """What is withheld or missing is an empty cell."""
    with file.open("w", encoding="utf-8", errors="backslashreplace", newline="") as opened:
        table = csv.DictWriter(opened, list(columns))
        table.writeheader()
        table.writerows(rows)


def _write_parquet(rows: Iterable[Row], file: Path, columns: Columns) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
    left = iter(rows)
    with pq.ParquetWriter(file, schema) as table:
        while group := list(islice(left, _ROW_GROUP)):
            try:
                made = pa.Table.from_pylist(group, schema=schema)
            except UnicodeEncodeError:
                made = pa.Table.from_pylist(list(map(_encodable, group)), schema=schema)
            table.write_table(made)


_WRITERS = {"jsonl": _write_jsonl, "csv": _write_csv, "parquet": _write_parquet}
_ROW_GROUP = 10_000
"""Rows of a Parquet file that are in memory at a time."""


def _nested(study: StoredStudy, *, with_text: bool) -> Iterator[Row]:
    for sample in read_samples(study, with_text=with_text, with_scores=True):
        verdicts = [
            {"judge": v.judge, "version": v.version, "label": v.label, "success": v.success, "grade": v.grade}
            for v in sample.verdicts
        ]
        yield {**plain_values(study.plan, sample), "coords": list(sample.coords), "verdicts": verdicts}


def _encodable(row: Row) -> Row:
    """Parquet text is UTF-8: a lone surrogate becomes a visible escape."""
    return {
        key: value.encode("utf-8", "backslashreplace").decode()
        if isinstance(value, str) and not value.isascii()
        else value
        for key, value in row.items()
    }
