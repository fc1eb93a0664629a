"""Objects from a file of training rows: JSONL, JSON, CSV or Parquet. What they mean is the business of `data`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from safebasin.errors import PromptError, expected
from safebasin.prompts.rows import Row, csv_rows, json_value, jsonl_rows, listed, parquet_rows
from safebasin.untrusted import border

__all__ = ["read_objects"]

_WHAT = "training data"


def read_objects(path: Path) -> list[Row]:
    """Column → cell of each row, in order; blank lines of JSONL are passed over.

    Raises:
        PromptError: where the file is missing, not UTF-8, of another kind, or broken (JSONL: in which line).
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(_READERS)
        raise PromptError(expected(_WHAT, f"one of {known}", path.name, "Convert it, or mend the extension."))
    with border(f"{_WHAT} {path.name}", "readable", PromptError):
        return list(reader(path, _WHAT))


def _json(path: Path, what: str) -> list[Row]:
    return listed(json_value(path, what), path, what)


_READERS: Mapping[str, Callable[[Path, str], Iterable[Row]]] = {
    ".jsonl": jsonl_rows,
    ".json": _json,
    ".csv": csv_rows,
    ".parquet": parquet_rows,
}
