"""Rows of directions that were made, kept up to a budget of bytes, so that a sweep along a line makes them once."""

from __future__ import annotations

from collections.abc import Hashable
from threading import Lock

import torch

__all__ = ["KeptRows"]


class KeptRows:
    """Keeps the first rows that it is given, as long as they fit.

    Nothing is ever dropped for something else: a sweep asks for all rows in the same order again and again, and where
    they do not all fit, dropping the oldest would drop each one just before it is asked for.

    Args:
        budget_bytes: of all rows together.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._left = budget_bytes
        self._lock = Lock()
        self._rows: dict[Hashable, torch.Tensor] = {}

    def get(self, key: Hashable) -> torch.Tensor | None:
        """Return what is kept under a key, shared: never write to it; None where nothing is."""
        return self._rows.get(key)

    def fits(self, rows: torch.Tensor) -> bool:
        """Tell whether there is room for rows."""
        return rows.nbytes <= self._left

    def put(self, key: Hashable, rows: torch.Tensor) -> None:
        """Keep rows, if they fit and there are none under this key."""
        with self._lock:
            if key not in self._rows and self.fits(rows):
                self._left -= rows.nbytes
                self._rows[key] = rows

    def take(self, key: Hashable) -> torch.Tensor | None:
        """Hand over what is kept under a key, for good."""
        with self._lock:
            rows = self._rows.pop(key, None)
            self._left += 0 if rows is None else rows.nbytes
            return rows
