"""Guesses of the tokens to come for rows that repeat themselves, so that one pass can check many steps at once.

Beyond the rim of a basin nearly every row falls into a cycle and has to be decoded to its end all the same. A cycle is
easy to guess: greedy decoding then only confirms it, dozens of tokens a pass instead of one. A guess is kept only where
the model's own choice is the same. After prompt-lookup decoding (Saxena 2023) and speculative decoding (Leviathan et
al. 2023, arXiv 2211.17192) in its greedy form.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from safebasin.engines.cycles import PERIOD, Cycles

__all__ = ["LONGEST", "SEEN", "SHORTEST", "Drafter"]

SEEN = 6
"""Tokens that must have repeated, and a whole turn of the cycle, before it is guessed from."""
SHORTEST = 4
"""Fewest tokens of a pass …"""
LONGEST = 32
"""… and most: a row that has ended may have been tried for this many tokens past its end."""
_NEEDED = np.maximum(SEEN, np.arange(1, PERIOD + 1))


class Drafter:
    """Watches the rows of a batch and guesses how they go on.

    Args:
        n_rows: rows of the batch.
        n_tokens: the most tokens that a row can get.
    """

    def __init__(self, n_rows: int, n_tokens: int) -> None:
        self._cycles = Cycles(n_rows, n_tokens)
        self.size = 2 * SHORTEST

    def see(self, rows: Sequence[int], tokens: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        """Append to each of `rows` the first `counts` of its tokens, (rows, n)."""
        self._cycles.see(rows, tokens, counts)

    def cyclic(self, rows: Sequence[int]) -> NDArray[np.bool_]:
        """Tell which of `rows` repeat themselves, bool of shape (len(rows),)."""
        return np.any(self._cycles.runs(rows) >= _NEEDED, axis=1)

    def guess(self, rows: Sequence[int], n: int) -> NDArray[np.int64]:
        """The next n tokens of each of `rows`, (rows, n); of those that repeat nothing the guess means nothing."""
        return self._cycles.go_on(rows, (self._cycles.runs(rows) >= _NEEDED).argmax(axis=1) + 1, n)

    def learn(self, held: float) -> None:
        """Say how many tokens a pass of `size` gave each row, on average: the next is longer or shorter."""
        if held > 0.75 * self.size:
            self.size = min(2 * self.size, LONGEST)
        elif held < 0.25 * self.size:
            self.size = max(self.size // 2, SHORTEST)
