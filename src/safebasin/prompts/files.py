"""Prompt files: CSV, TSV, TXT (one prompt a line), JSONL, JSON and Parquet, under the column names of the field.

Identical prompts are an error, not a silent loss: they would weigh a behavior twice in one place and once in another.
Logs of attacks repeat themselves and give up on some behaviors: their repeats are taken once, rows without a prompt are
left out and counted in a warning.
"""

from __future__ import annotations

import csv
import io
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

from safebasin.errors import MissingFile, PromptError, expected
from safebasin.prompts.attacks import rows_of_log
from safebasin.prompts.columns import gave_up, to_prompt
from safebasin.records import Prompt
from safebasin.untrusted import MIB, border, read_bytes, read_json, read_text

Row = Mapping[str, object]
_log = logging.getLogger(__name__)
_CAP = 256 * MIB
"""The most bytes of a prompts file: some hundred times the largest public set."""
_MOST_ROWS = 1_000_000


def read_file(path: Path, *, column: str | None = None) -> tuple[Prompt, ...]:
    """The prompts of a file, in its order.

    Args:
        path: the file.
        column: the column that holds the prompt; where None, the first that is known. With a column, repeats are taken
            once: several attacks on one goal repeat it.

    Raises:
        PromptError: where it is missing, empty, not UTF-8, of an unknown layout, or holds a prompt twice.
    """
    name = path.name
    if not os.path.exists(path):  # which takes names that are too long for the file system, too
        raise MissingFile(expected("prompts file", "an existing file", str(path), "Check the path."))
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(_READERS)
        raise PromptError(expected("prompts file", f"one of {known}", str(path), "Convert it, or mend the extension."))
    with border(f"prompts file {name}", "readable", PromptError):
        rows = reader(path)
        rows = rows if isinstance(rows, Attacks) else list(rows)
    return from_rows(rows, name, repeats=column is not None or isinstance(rows, Attacks), column=column)


def from_rows(
    rows: Iterable[Row], name: str, *, repeats: bool = False, column: str | None = None
) -> tuple[Prompt, ...]:
    """Prompts of rows, numbered from 1 in messages; a row of an attack that found no prompt is left out.

    Args:
        rows: column → cell.
        name: of the file or set.
        repeats: whether a prompt may stand there twice; `load_prompts` then takes it once.
        column: the column that holds the prompt; where None, the first that is known.

    Raises:
        PromptError: as `read_file`.
    """
    prompts: list[Prompt] = []
    seen: dict[str, int] = {}
    left_out = number = 0
    for number, row in enumerate(rows, 1):
        if gave_up(row):
            left_out += 1
            continue
        where = f"row {number} of {name}"
        prompt = replace(to_prompt(row, source=name, where=where, column=column), row=number)
        if seen.setdefault(prompt.id, number) != number and not repeats:
            what = f"prompts of {name}"
            found = f"row {number} equal to row {seen[prompt.id]}"
            raise PromptError(expected(what, "different from each other", found, "Remove one of the two rows."))
        prompts.append(prompt)
    if left_out:
        _log.warning("%s: %d of %d rows hold no prompt (the attack gave up) and are left out", name, left_out, number)
    if not prompts:
        found = f"{left_out} rows without a prompt" if left_out else "no row"
        raise PromptError(expected(f"prompts {name}", "a set with at least one prompt", found, "Fill it."))
    return tuple(prompts)


class Attacks(list[Row]):
    """Rows of an attack log, which may repeat a prompt."""


def _text(path: Path) -> str:
    return read_text(path, "prompts file", error=PromptError, most=_CAP)


def _lines(path: Path) -> list[str]:
    # Not `splitlines`, which also cuts at characters (U+2028, form feed) that a prompt and a JSON string may hold.
    return [line.removesuffix("\r") for line in _text(path).split("\n")]


def _csv(path: Path, delimiter: str = ",") -> Iterable[Row]:
    what = f"prompts file {path.name}"
    reader = csv.DictReader(io.StringIO(_text(path), newline=""), delimiter=delimiter)
    number = 0
    try:
        header = reader.fieldnames or ()
        if len(set(header)) < len(header):
            raise PromptError(expected(what, "a table whose columns have different names", header, "Rename one."))
        for number, row in enumerate(reader, 1):
            if None in row or None in row.values():
                found = f"row {number} with another number of cells than the header"
                raise PromptError(expected(what, "a regular table", found, "Mend that row."))
            yield row
    except csv.Error as error:
        raise PromptError(expected(what, "a regular table", f"row {number + 1}: {error}", "Mend that row.")) from error


def _tsv(path: Path) -> Iterable[Row]:
    return _csv(path, delimiter="\t")


def _txt(path: Path) -> Iterable[Row]:
    return [{"prompt": line} for line in _lines(path) if line.strip()]


def _jsonl(path: Path) -> Iterable[Row]:
    for number, line in enumerate(_lines(path), 1):
        if line.strip():
            yield _object(line, path, f"line {number}")


def _json(path: Path) -> Iterable[Row]:
    value = read_json(_text(path), f"prompts file {path.name}", error=PromptError)
    log = rows_of_log(value)
    if log is not None:
        return Attacks(log)
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in cast("list[object]", value)):
        constraint = "a list of objects, or an attack log of a known layout (docs: Jailbreaks)"
        raise PromptError(expected(f"prompts file {path.name}", constraint, type(value).__name__, "Mend it."))
    return cast("list[Row]", value)


def _object(text: str, path: Path, where: str) -> Row:
    value = read_json(text, f"{where} of {path.name}", error=PromptError, remedy="Mend that line.")
    if not isinstance(value, dict):
        raise PromptError(expected(f"{where} of {path.name}", "a JSON object", value, "One object a line."))
    return cast("Row", value)


def _parquet(path: Path) -> Iterable[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = read_bytes(path, "prompts file", error=PromptError, most=_CAP)
    with border(f"prompts file {path.name}", "a Parquet file", PromptError, "Write it anew."):
        file = pq.ParquetFile(pa.BufferReader(data))
        groups = range(file.metadata.num_row_groups)
        if (
            file.metadata.num_rows > _MOST_ROWS
            or sum(file.metadata.row_group(i).total_byte_size for i in groups) > _CAP
        ):
            raise ValueError(f"more than {_MOST_ROWS:,} rows, or than {_CAP // MIB} MB unpacked")
        return cast("list[Row]", file.read().to_pylist())


_READERS: dict[str, Callable[[Path], Iterable[Row]]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".txt": _txt,
    ".jsonl": _jsonl,
    ".json": _json,
    ".parquet": _parquet,
}
