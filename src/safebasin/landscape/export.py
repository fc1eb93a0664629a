"""Stored responses as a Parquet, JSONL or CSV file, one row each. Redacted like the report.

Which formats there are, other tools' among them, is known here; those are written by `interop`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, cast

from safebasin.errors import UsageError, expected
from safebasin.landscape.flat_rows import Kind, flat_columns, flat_pages
from safebasin.landscape.row_blocks import Block, Columns, RowBlocks
from safebasin.landscape.stored import StoredStudy
from safebasin.writing import whole

__all__ = ["FORMATS", "Format", "Table", "export", "format_of"]

Table = Literal["parquet", "jsonl", "csv"]
Format = Literal["parquet", "jsonl", "csv", "inspect", "hf-results", "model-card"]
Schema = Mapping[str, Kind]
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
    pages = _nested(study, with_text=with_text) if format == "jsonl" else flat_pages(study, with_text=with_text)
    counted = _Counted(pages)
    with whole(output) as file:
        _WRITERS[format](counted, file, flat_columns(study))
    return counted.n


class _Counted:
    """Pages whose rows are counted as they pass."""

    def __init__(self, pages: Iterator[Columns]) -> None:
        self._pages = pages
        self.n = 0

    def __iter__(self) -> Iterator[Columns]:
        for page in self._pages:
            self.n += _length(page)
            yield page


def _length(page: Columns) -> int:
    return len(next(iter(page.values()), ()))


def _write_jsonl(pages: Iterable[Columns], file: Path, _: Schema) -> None:
    with file.open("w", encoding="utf-8") as opened:
        for page in pages:
            rows = (dict(zip(page, values, strict=True)) for values in zip(*page.values(), strict=True))
            opened.writelines(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)


def _write_csv(pages: Iterable[Columns], file: Path, columns: Schema) -> None:
    """What is withheld or missing is an empty cell."""
    with file.open("w", encoding="utf-8", errors="backslashreplace", newline="") as opened:
        table = csv.writer(opened)
        table.writerow(columns)
        for page in pages:
            table.writerows(zip(*(page[name] for name in columns), strict=True))


def _write_parquet(pages: Iterable[Columns], file: Path, columns: Schema) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
    with pq.ParquetWriter(file, schema) as table:
        for group in _regrouped(pages):
            arrays = []
            for field in schema:
                try:
                    array = pa.array(group[field.name], type=field.type)
                except UnicodeEncodeError:
                    array = pa.array(list(map(_encodable, group[field.name])), type=field.type)
                arrays.append(array)
            table.write_table(pa.Table.from_arrays(arrays, schema=schema))


_WRITERS = {"jsonl": _write_jsonl, "csv": _write_csv, "parquet": _write_parquet}
_ROW_GROUP = 10_000
"""Rows of a Parquet file that are in memory at a time."""


def _regrouped(pages: Iterable[Columns]) -> Iterator[Columns]:
    """The same rows, `_ROW_GROUP` at a time."""
    left: Columns = {}
    for page in pages:
        left = {name: left.get(name, []) + values for name, values in page.items()}
        whole = _length(left) // _ROW_GROUP * _ROW_GROUP
        for start in range(0, whole, _ROW_GROUP):
            yield {name: values[start : start + _ROW_GROUP] for name, values in left.items()}
        left = {name: values[whole:] for name, values in left.items()}
    if _length(left):
        yield left


def _nested(study: StoredStudy, *, with_text: bool) -> Iterator[Columns]:
    blocks = RowBlocks.read(study, with_text=with_text)
    for block in blocks:
        by_judge = [_verdicts(blocks, judge, block) for judge in blocks.said]
        verdicts = [[one for one in of_row if one is not None] for of_row in zip(*by_judge, strict=True)]
        page = block.plain
        page["coords"] = [list(block.coords)] * len(block)
        page["verdicts"] = list[object](verdicts) if by_judge else [[]] * len(block)
        yield page


def _verdicts(blocks: RowBlocks, judge: tuple[str, str], block: Block) -> list[dict[str, object] | None]:
    """What a judge says of each response of a block, None where nothing."""
    said = zip(blocks.labels(judge, block), blocks.successes(judge, block), blocks.grades_of(judge, block), strict=True)
    name, version = judge
    return [
        None
        if label is None
        else {"judge": name, "version": version, "label": label, "success": success, "grade": grade}
        for label, success, grade in said
    ]


def _encodable(value: object) -> object:
    """Parquet text is UTF-8: a lone surrogate becomes a visible escape."""
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-8", "backslashreplace").decode()
    return value
