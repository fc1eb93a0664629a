"""`verdict.json` read back as the record it was: a file that others may have written."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from safebasin.audit.records import SCHEMA_VERSION, AuditVerdict
from safebasin.audit.verdict import VERDICT
from safebasin.errors import StoreError, expected
from safebasin.untrusted import read_json, read_text

__all__ = ["read_verdict", "verdict_of"]

_REMEDY = "Restore the file, or audit again."


def read_verdict(folder: Path) -> AuditVerdict:
    """The verdict of an audit's folder.

    Raises:
        StoreError: where there is none, or it is none.
    """
    if not (folder / VERDICT).is_file():
        raise StoreError(expected("audit folder", f"one with a {VERDICT}", str(folder), "Audit again: it did not end."))
    return verdict_of(read_json(read_text(folder / VERDICT, VERDICT, error=StoreError), VERDICT, error=StoreError))


def verdict_of(document: object) -> AuditVerdict:
    """The record of a document.

    Raises:
        StoreError: where it is none, naming the first place that does not fit.
    """
    if isinstance(document, dict) and document.get("schema_version") not in (None, SCHEMA_VERSION):
        newer = "A newer release wrote it: update safebasin."
        raise StoreError(expected(VERDICT, f"of schema {SCHEMA_VERSION}", document["schema_version"], newer))
    return cast("AuditVerdict", _record(AuditVerdict, document, ""))


def _record(kind: Any, value: object, where: str) -> object:
    """A dataclass of a mapping, its fields by their types."""
    if not isinstance(value, dict):
        raise _not(where, kind.__name__, value)
    held = cast("dict[str, object]", value)
    hints, known = get_type_hints(kind), {field.name: field for field in fields(kind)}
    made = {name: _value(hints[name], held[name], f"{where}.{name}") for name in known if name in held}
    try:
        return kind(**made)
    except TypeError as error:
        raise _not(where, kind.__name__, str(error)) from error


def _value(kind: Any, value: object, where: str) -> object:
    origin, inner = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _record(kind, value, where)
    if origin in (types.UnionType, Union):
        return None if value is None else _value(next(one for one in inner if one is not type(None)), value, where)
    if origin is tuple and isinstance(value, list):
        rows = cast("list[object]", value)
        return tuple(_value(inner[0], row, f"{where}[{number}]") for number, row in enumerate(rows))
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, dict):
        held = cast("dict[str, object]", value)
        return {key: _value(inner[1], one, f"{where}.{key}") for key, one in held.items()}
    fits = {float: isinstance(value, (int, float)), object: True, Any: True}
    if origin is Literal:
        fits[kind] = value in inner
    if not fits.get(kind, isinstance(kind, type) and origin is None and isinstance(value, kind)):
        raise _not(where, str(getattr(kind, "__name__", kind)), value)
    return value


def _not(where: str, kind: str, value: object) -> StoreError:
    what = f"{where.removeprefix('.') or 'the document'} of {VERDICT}"
    return StoreError(expected(what, kind, json.dumps(value, default=str)[:80], _REMEDY))
