"""Rows of tables that others wrote: CSV, TSV, JSONL, JSON and Parquet, as plain cells. What they mean is the caller's.

Sizes are bounded before anything is unpacked, and what a parser raises names the file and the row.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from safebasin.errors import PromptError, expected
from safebasin.untrusted import MIB, border, read_bytes, read_json, read_text

__all__ = ["CAP", "Row", "json_value", "listed", "read_rows", "text_lines"]

Row = Mapping[str, object]
"""Column → cell."""
Reader = Callable[[Path, str], Iterable[tuple[int, Row]]]
"""(file, what it is) → its rows, numbered from 1."""
CAP = 256 * MIB
"""The most bytes of a table: some hundred times the largest public set."""
_MOST_ROWS = 1_000_000


def read_rows(
    path: Path, what: str, *, also: Mapping[str, Reader] | None = None, usual: str | None = None
) -> list[tuple[str, Row]]:
    """Every row of a table, with where it stands (`line 3 of a.jsonl`, `row 2 of a.csv`), in order.

    Args:
        path: the file; its ending says how it is read.
        what: what it is, for messages.
        also: readers of further endings, or other ones for these.
        usual: the ending that a file of any other counts as; None refuses it.

    Raises:
        PromptError: where the file is missing, not UTF-8, of another kind, or broken, naming the first row that is.
    """
    readers = {**_READERS, **(also or {})}
    ending = path.suffix.lower()
    reader = readers.get(ending) or readers.get(usual or "")
    if reader is None:
        raise PromptError(
            expected(what, f"one of {', '.join(readers)}", path.name, "Convert it, or mend the extension.")
        )
    unit = "line" if reader is _jsonl_rows else "row"
    with border(f"{what} {path.name}", "readable", PromptError):
        return [(f"{unit} {number} of {path.name}", row) for number, row in reader(path, what)]


def text_lines(path: Path, what: str) -> list[str]:
    """The lines of a text; a carriage return at the end of one is dropped.

    Raises:
        PromptError: as `untrusted.read_text`.
    """
    # Not `splitlines`, which also cuts at characters (U+2028, form feed) that a prompt and a JSON string may hold.
    return [line.removesuffix("\r") for line in read_text(path, what, error=PromptError, most=CAP).split("\n")]


def _csv_rows(path: Path, what: str, *, delimiter: str = ",") -> Iterator[tuple[int, Row]]:
    """The rows below the header.

    Raises:
        PromptError: also where two columns have one name, or a row has more or fewer cells.
    """
    named, text = f"{what} {path.name}", read_text(path, what, error=PromptError, most=CAP)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    number = 0
    try:
        header = reader.fieldnames or ()
        if len(set(header)) < len(header):
            raise PromptError(expected(named, "a table whose columns have different names", header, "Rename one."))
        for number, row in enumerate(reader, 1):
            if None in row or None in row.values():
                found = f"row {number} with another number of cells than the header"
                raise PromptError(expected(named, "a regular table", found, "Mend that row."))
            yield number, row
    except csv.Error as error:
        raise PromptError(expected(named, "a regular table", f"row {number + 1}: {error}", "Mend that row.")) from error


def _jsonl_rows(path: Path, what: str) -> Iterator[tuple[int, Row]]:
    """One object a line; blank lines are passed over.

    Raises:
        PromptError: naming the line that is none.
    """
    for number, line in enumerate(text_lines(path, what), 1):
        if line.strip():
            where = f"line {number} of {path.name}"
            value = read_json(line, where, error=PromptError, remedy="Mend that line.")
            if not isinstance(value, dict):
                raise PromptError(expected(where, "a JSON object", value, "One object a line."))
            yield number, cast("Row", value)


def json_value(path: Path, what: str) -> Any:
    """The value of a JSON file.

    Raises:
        PromptError: as `untrusted.read_text` and `untrusted.read_json`.
    """
    return read_json(read_text(path, what, error=PromptError, most=CAP), f"{what} {path.name}", error=PromptError)


def listed(value: object, path: Path, what: str, constraint: str = "a list of objects") -> list[Row]:
    """A JSON value as rows.

    Raises:
        PromptError: where it is no list of objects.
    """
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in cast("list[object]", value)):
        raise PromptError(expected(f"{what} {path.name}", constraint, type(value).__name__, "Mend it."))
    return cast("list[Row]", value)


def _parquet_rows(path: Path, what: str) -> Iterator[tuple[int, Row]]:
    """The rows of a Parquet file.

    Raises:
        PromptError: also where it would unpack to more than anybody asks.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = read_bytes(path, what, error=PromptError, most=CAP)
    with border(f"{what} {path.name}", "a Parquet file", PromptError, "Write it anew."):
        file = pq.ParquetFile(pa.BufferReader(data))
        groups = range(file.metadata.num_row_groups)
        if file.metadata.num_rows > _MOST_ROWS or sum(file.metadata.row_group(i).total_byte_size for i in groups) > CAP:
            raise ValueError(f"more than {_MOST_ROWS:,} rows, or than {CAP // MIB} MB unpacked")
        yield from enumerate(cast("list[Row]", file.read().to_pylist()), 1)


def _tsv_rows(path: Path, what: str) -> Iterator[tuple[int, Row]]:
    return _csv_rows(path, what, delimiter="\t")


def _json_rows(path: Path, what: str) -> Iterator[tuple[int, Row]]:
    return enumerate(listed(json_value(path, what), path, what), 1)


_READERS: Mapping[str, Reader] = {
    ".jsonl": _jsonl_rows,
    ".ndjson": _jsonl_rows,
    ".json": _json_rows,
    ".csv": _csv_rows,
    ".tsv": _tsv_rows,
    ".parquet": _parquet_rows,
}
