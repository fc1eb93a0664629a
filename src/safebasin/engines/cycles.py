"""How rows of tokens repeat themselves: for every short period, how many tokens in a row equal the one a period before;
and how far back a row last said what it says now.

Pure bookkeeping: no torch, no model. What follows from a cycle is said elsewhere: `stopping` may end a row,
`paced.drafting` guesses how it goes on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["PERIOD", "Cycles"]

PERIOD = 64
"""Longest cycle, in tokens, that is recognized."""
_BACK = np.arange(1, PERIOD + 1)
_RECALLED = (3, 2, 1)
"""Numbers of tokens, the first that fits, by which a row is found to have said something before."""


class Cycles:
    """The tokens of a batch, each row as long as it is, and their runs.

    Args:
        n_rows: rows of the batch.
        n_tokens: the most tokens that a row can get.
    """

    def __init__(self, n_rows: int, n_tokens: int) -> None:
        # every row begins behind PERIOD places that hold no token, so that looking back never leaves the array
        self._tokens = np.full((n_rows, PERIOD + n_tokens), -1, dtype=np.int64)
        self._length = np.full(n_rows, PERIOD)
        self._runs = np.zeros((n_rows, PERIOD), dtype=np.int64)

    def see(self, rows: Sequence[int], tokens: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        """Append to each of `rows` the first of its tokens.

        Args:
            rows: rows of the batch.
            tokens: (rows, n), n ≥ 1.
            counts: how many of them each row takes, 0 to n.
        """
        # 1) Append: rows take different numbers of tokens, so what is taken is a mask and not a slice
        at = np.asarray(rows)
        columns = self._length[at, None] + np.arange(tokens.shape[1])  # (rows, n): where each token would go
        taken = np.arange(tokens.shape[1]) < counts[:, None]  # (rows, n)
        self._tokens[np.broadcast_to(at[:, None], taken.shape)[taken], columns[taken]] = tokens[taken]
        # 2) Compare each new token with the one p places before it, for every p at once: (rows, n, PERIOD)
        before = self._tokens[at[:, None, None], np.where(taken, columns, PERIOD)[..., None] - _BACK]
        breaks = (before != tokens[..., None]) & taken[..., None]
        # 3) A run goes on where no new token broke it; else it is what came after the last one that did
        since = counts[:, None] - 1 - _last(breaks)  # (rows, PERIOD)
        self._runs[at] = np.where(since == counts[:, None], self._runs[at] + since, since)
        self._length[at] += counts

    def runs(self, rows: Sequence[int]) -> NDArray[np.int64]:
        """Count the tokens up to now that equal the one a period before: (rows, `PERIOD`), for periods from 1."""
        return self._runs[np.asarray(rows)]

    def go_on(self, rows: Sequence[int], periods: NDArray[np.int64], n: int) -> NDArray[np.int64]:
        """The next n tokens of each of `rows`, (rows, n), if it goes on with its period, ≥ 1; 0 where none was seen."""
        at = np.asarray(rows)[:, None]
        # (rows, n), from 1 to the period: token i repeats the one i mod p into the last turn, which has been seen
        back = periods[:, None] - np.arange(n)[None, :] % periods[:, None]
        return np.maximum(self._tokens[at, self._length[at] - back], 0)

    def distances(self, rows: Sequence[int]) -> NDArray[np.int64]:
        """Count the tokens since each of `rows` said its last three, or two, or one, before: (rows,); 0 where never."""
        said = [self._tokens[row, PERIOD : self._length[row]] for row in rows]
        return np.asarray([_distance(tokens) for tokens in said], dtype=np.int64)


def _distance(said: NDArray[np.int64]) -> int:
    for n in _RECALLED:
        n_places = len(said) - n  # where n tokens could begin before the last n of them
        if n_places < 1:
            continue
        same = np.ones(n_places, dtype=np.bool_)
        for at in range(n):
            same &= said[at : at + n_places] == said[n_places + at]
        found = np.flatnonzero(same)
        if found.size:
            return n_places - int(found[-1])
    return 0


def _last(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The last index along the middle axis at which a flag is set; -1 where none is."""
    n = flags.shape[1]
    return np.where(flags.any(axis=1), n - 1 - flags[:, ::-1].argmax(axis=1), -1)
