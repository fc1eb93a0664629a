"""Identity is content: hashes of canonical JSON, so that equal questions are asked once, on any machine.

A key outlives the code that made it. It hashes the fields that a record had in version 1; a field that came later is
marked `LATER` and counts only where it differs from its default, so that adding one changes no key that is stored.
Golden digests of every kind of key stand in the tests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Scalar = str | int | float | bool | None
"""What an argument by name can be."""
LATER: Mapping[str, bool] = MappingProxyType({"later": True})
"""Metadata of a field that records of version 1 did not have: `field(default=…, metadata=LATER)`."""


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def canonical_json(value: object) -> str:
    """JSON with sorted keys, no spaces, no NaN: the same text for the same content, for hashing."""
    return _CANONICAL.encode(value)


def content_hash(value: object, *, length: int = 16) -> str:
    """The first `length` hex digits of the SHA-256 of the canonical JSON of `value`."""
    return digest(canonical_json(value), length=length)


def digest(text: str, *, length: int = 16) -> str:
    """The first `length` hex digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def content_of(record: DataclassInstance) -> dict[str, object]:
    """The fields of a record by which it is known, as plain values, nested records alike: later ones at their default
    are left out.

    Raises:
        TypeError: where a later field has no default, so that nobody could tell whether it counts.
    """
    found: dict[str, object] = {}
    for field in fields(record):
        value = cast("object", getattr(record, field.name))
        if "later" in field.metadata:
            if field.default is MISSING:
                raise TypeError(f"{type(record).__name__}.{field.name} came later and has no default")
            if value == field.default:
                continue
        found[field.name] = _plain(value)
    return found


def key_of(record: DataclassInstance, *, gone: Mapping[str, object] = MappingProxyType({}), length: int = 16) -> str:
    """The content key of a record, `length` hex digits.

    Args:
        record: a frozen dataclass.
        gone: fields that version 1 had and the record has no more, each with the only value that was ever stored.
        length: hex digits of the key.
    """
    return content_hash({**gone, **content_of(record)}, length=length)


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return content_of(value)
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in cast("tuple[object, ...] | list[object]", value)]
    return value
