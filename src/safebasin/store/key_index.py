"""Keys of many responses as numbers: SQLite joins them into one text, numpy takes it apart.

No object of Python is made for a row. A key has 96 bits (`Response.key`); 64 of them are sorted, and the rest tells
apart those that begin alike.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from safebasin.store.values import stored_text
from safebasin.study.answered import Answered

__all__ = ["KEY_BYTES", "SEPARATOR", "KeyIndex", "read_answered", "unhex"]

SEPARATOR = "\x1f"
"""Stands between keys that SQLite joins; no key holds it."""
KEY_BYTES = 12
"""`Response.key` has 24 hex digits."""


class KeyIndex(NamedTuple):
    """Responses by their keys, ascending, and where each stands in an array."""

    high: NDArray[np.uint64]
    """The first 16 hex digits of `Response.key`."""
    low: NDArray[np.uint32]
    """The other 8."""
    at: NDArray[np.int32 | np.int64]

    @classmethod
    def of(cls, parts: Iterable[tuple[bytes, NDArray[np.int32 | np.int64]]]) -> KeyIndex:
        """The index of some keys, joined, and where each of them stands: part after part, as they are read.

        Most of the memory of a large study is here: a column is sorted when the one before it is done.
        """
        high, low, where = _Column(), _Column(), _Column()
        for keys, at in parts:
            for column, values in zip((high, low, where), (*_numbers(keys), at), strict=True):
                column.append(values)
        order = np.argsort(high.values)
        return cls(high.taken(order), low.taken(order), where.taken(order))

    def key(self, number: int) -> str:
        """`Response.key` of one of them, by its number in the order of keys."""
        return f"{int(self.high[number]):016x}{int(self.low[number]):08x}"

    def find(self, keys: bytes) -> NDArray[np.int64]:
        """Look up where these stand; those that are not here are left out."""
        found = self.locate(keys)
        return found[found >= 0]

    def locate(self, keys: bytes) -> NDArray[np.int64]:
        """Look up where each of these stands, −1 for one that is not here."""
        ranks = self.ranks(keys)
        found = np.full(ranks.size, -1, dtype=np.int64)
        found[ranks >= 0] = self.at[ranks[ranks >= 0]]
        return found

    def ranks(self, keys: bytes) -> NDArray[np.int64]:
        """The number of each of these in the order of keys, −1 for one that is not here."""
        high, low = _numbers(keys)
        order = np.argsort(high)  # neighbors are looked up one after the other, which a cache rewards
        high, low = high[order], low[order]
        near = np.searchsorted(self.high, high)
        while (further := self._is(near, high) & (self._taken(self.low, near) != low)).any():
            near[further] += 1
        found, here = np.full(high.size, -1, dtype=np.int64), self._is(near, high)
        found[order[here]] = near[here]
        return found

    def _is(self, near: NDArray[np.intp], high: NDArray[np.uint64]) -> NDArray[np.bool_]:
        return (near < self.high.size) & (self._taken(self.high, near) == high)

    @staticmethod
    def _taken(values: NDArray[np.uint64] | NDArray[np.uint32], near: NDArray[np.intp]) -> NDArray[np.unsignedinteger]:
        return np.take(values, near, mode="clip") if values.size else np.zeros(near.shape, dtype=values.dtype)


def read_answered(db: sqlite3.Connection, decoding: str, sample: int) -> Answered:
    """Read what the responses of a decoding answer; most points hold the same prompts, which are split once."""
    query = f"""SELECT point, system, group_concat(prompt, '{SEPARATOR}') FROM responses
                WHERE decoding = ? AND sample = ? GROUP BY point, system"""
    known: dict[str, frozenset[str]] = {}
    there: dict[tuple[str, str], frozenset[str]] = {}
    for point, system, joined in db.execute(query, (decoding, sample)):
        if joined not in known:
            known[joined] = frozenset(stored_text(joined).split(SEPARATOR))
        there[stored_text(point), stored_text(system)] = known[joined]
    return Answered(there)


def unhex(keys: object, n: int) -> bytes:
    """The bytes of so many keys of responses, joined; of none where there is nothing.

    Raises:
        ValueError: where they are none.
    """
    text = "" if keys is None else stored_text(keys)
    found = bytes.fromhex(text)
    if len(text) != 2 * len(found) or len(found) != n * KEY_BYTES or text != text.lower():
        raise ValueError(f"{n} keys of responses in {len(found)} bytes")
    return found


def _numbers(keys: bytes) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    parts = np.frombuffer(keys, dtype=">u4").reshape(-1, 3)
    high = (parts[:, 0].astype(np.uint64) << np.uint64(32)) | parts[:, 1].astype(np.uint64)
    return high, parts[:, 2].astype(np.uint32)


class _Column:
    """An array that grows in its place: many small ones would leave their memory behind them."""

    def __init__(self) -> None:
        self._room: NDArray[Any] | None = None
        self._n = 0

    @property
    def values(self) -> NDArray[Any]:
        return np.zeros(0, dtype=np.int64) if self._room is None else self._room[: self._n]

    def append(self, values: NDArray[Any]) -> None:
        """Put further ones behind those that are there, whose type is that of the first."""
        end = self._n + values.size
        if self._room is None:
            self._room = np.empty(end, dtype=values.dtype)
        if end > self._room.size:
            self._room.resize(end + end // 4, refcheck=False)
        self._room[self._n : end] = values
        self._n = end

    def taken(self, order: NDArray[np.intp]) -> NDArray[Any]:
        """The values in an order; their room is given back."""
        found, self._room = self.values[order], None
        return found
