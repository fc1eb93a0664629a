"""Guesses of the tokens to come, so that one pass can check many steps at once.

Beyond the rim of a basin nearly every row falls into a cycle and has to be decoded to its end all the same. A cycle is
easy to guess: greedy decoding then only confirms it, dozens of tokens a pass instead of one. The last few rows of a
batch are guessed for as well, from what followed when they last said what they say now: a pass over so few tokens costs
what reading the weights costs. A guess is kept only where the model's own choice is the same. After prompt-lookup
decoding (Saxena 2023) and speculative decoding (Leviathan et al. 2023, arXiv 2211.17192) in its greedy form.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from safebasin.engines.cycles import PERIOD, Cycles

__all__ = ["BESIDE", "FEW", "LONGEST", "SEEN", "SHORTEST", "Drafter"]

SEEN = 6
"""Tokens that must have repeated, and a whole turn of the cycle, before it is guessed from."""
SHORTEST = 4
"""Fewest tokens of a pass …"""
LONGEST = 32
"""… and most: a row that has ended may have been tried for this many tokens past its end."""
BESIDE = 8
"""Tokens of rows that repeat themselves in a pass that others take too. Those need their passes anyway, so that many
tokens at once save none: what a guess spares is reading keys and values once for each token."""
FEW = 12
"""Tokens that a pass may hold where rows do not repeat themselves: on a CPU it takes a fifth longer than of one."""
_NEEDED = np.maximum(SEEN, np.arange(1, PERIOD + 1))


class Drafter:
    """Watches the rows of a batch and guesses how they go on.

    Args:
        n_rows: rows of the batch.
        n_tokens: the most tokens that a row can get.
        apart: whether rows that repeat themselves are to be known; not where they end for it.
    """

    def __init__(self, n_rows: int, n_tokens: int, *, apart: bool = True) -> None:
        self._cycles = Cycles(n_rows, n_tokens)
        self._apart = apart
        self.size = 2 * SHORTEST
        """Tokens of a pass over rows that repeat themselves alone."""

    def see(self, rows: Sequence[int], tokens: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        """Append to each of `rows` the first `counts` of its tokens, (rows, n)."""
        self._cycles.see(rows, tokens, counts)

    def cyclic(self, rows: Sequence[int]) -> NDArray[np.bool_]:
        """Tell which of `rows` repeat themselves, bool of shape (len(rows),)."""
        return np.any(self._runs_on(rows), axis=1)

    def few(self, rows: Sequence[int]) -> int:
        """Tokens of a pass over `rows`, which do not repeat themselves: one, unless they are few and can be guessed."""
        n = FEW // len(rows)
        return n if n > 1 and self._cycles.distances(rows).any() else 1

    def guess(self, rows: Sequence[int], n: int) -> NDArray[np.int64]:
        """The next n tokens of each of `rows`, (rows, n); it means nothing of those that have said nothing twice."""
        runs_on = self._runs_on(rows)
        periods = runs_on.argmax(axis=1) + 1
        others = np.flatnonzero(~runs_on.any(axis=1))
        periods[others] = np.maximum(self._cycles.distances([rows[at] for at in others]), 1)
        return self._cycles.go_on(rows, periods, n)

    def learn(self, held: float) -> None:
        """Say how many tokens a pass of `size` gave each row, on average: the next is longer or shorter."""
        if held > 0.75 * self.size:
            self.size = min(2 * self.size, LONGEST)
        elif held < 0.25 * self.size:
            self.size = max(self.size // 2, SHORTEST)

    def _runs_on(self, rows: Sequence[int]) -> NDArray[np.bool_]:
        """For each of `rows` the periods with which it repeats itself, (rows, `PERIOD`)."""
        return (self._cycles.runs(rows) >= _NEEDED) & self._apart
