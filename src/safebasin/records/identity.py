"""Identity is content: hashes of canonical JSON, so that equal questions are asked once, on any machine."""

from __future__ import annotations

import hashlib
import json


def canonical_json(value: object) -> str:
    """JSON with sorted keys, no spaces, no NaN: the same text for the same content, for hashing."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def content_hash(value: object, *, length: int = 16) -> str:
    """The first `length` hex digits of the SHA-256 of the canonical JSON of `value`."""
    return digest(canonical_json(value), length=length)


def digest(text: str, *, length: int = 16) -> str:
    """The first `length` hex digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]
