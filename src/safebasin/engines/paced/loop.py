"""Greedy decoding, each row at its own pace: rows that repeat themselves take many tokens a pass.

Token for token what one step at a time gives, up to rounding where two logits tie: a pass over several tokens sums in
another order. Rows that repeat themselves and rows that do not take different numbers of tokens: as parts of one pass,
or, where a part takes a pass of its own, in turns, because a pass costs what its longest guess costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray

from safebasin.engines.choosing import Chosen, top_two
from safebasin.engines.paced.drafting import BESIDE, Drafter
from safebasin.engines.paced.passes import Pass
from safebasin.engines.ragged import RaggedCache
from safebasin.engines.stopping import Rows

__all__ = ["Paced"]

_LOGITS = 64 * 2**20
"""Bytes that the logits of one part, of several tokens a row, may take."""


@dataclass
class _Pool:
    """Rows that are decoded: which of the batch, their cache, and the last token of each, not yet in it."""

    rows: NDArray[np.int64]
    cache: RaggedCache
    last: NDArray[np.int64]

    def arrange(self, groups: Sequence[NDArray[np.int64]]) -> None:
        """Put the places of each group side by side, and let go of the others."""
        order = self.cache.arrange(groups)
        self.rows, self.last = self.rows[order], self.last[order]


class Paced:
    """The decoding of one batch whose prompts have been read, all but the last token of each.

    Args:
        forward: the forward pass.
        rows: the batch, still empty; in the end the result.
        drafter: guesses.
    """

    def __init__(self, forward: Pass, rows: Rows, drafter: Drafter) -> None:
        self._forward = forward
        self._rows = rows
        self._drafter = drafter

    def run(self, cache: RaggedCache, last: NDArray[np.int64]) -> None:
        """Decode until every row has ended.

        Args:
            cache: of the prompts without their last tokens.
            last: those, (rows,).
        """
        pool = _Pool(np.arange(len(last)), cache, last)
        turn = False
        while sides := self._sides(pool):
            if not self._forward.at_once:
                turn = turn if turn in sides else not turn  # until no row is left that takes it
                sides = {turn: sides[turn]}
            self._pass(pool, sides)

    def _sides(self, pool: _Pool) -> dict[bool, slice]:
        """Let go of rows that have ended; the places of those that do not repeat themselves, and of those that do."""
        live = np.asarray([self._rows.is_live(row) for row in pool.rows])
        cyclic = self._drafter.cyclic(pool.rows.tolist())
        groups = [np.flatnonzero(live & ~cyclic), np.flatnonzero(live & cyclic)]
        pool.arrange(groups)
        middle, end = np.cumsum([len(group) for group in groups]).tolist()
        sides = {False: slice(0, middle), True: slice(middle, end)}
        return {side: places for side, places in sides.items() if places.start < places.stop}

    def _pass(self, pool: _Pool, sides: Mapping[bool, slice]) -> None:
        """One forward pass: each row gets the tokens of its guess that hold, and the one after them."""
        # 1) Read the last token of each row and its guess, (rows, n), or that token alone
        alone = len(sides) == 1
        guessed = [self._guessed(pool, places, repeating=side, alone=alone) for side, places in sides.items()]
        tokens = [torch.from_numpy(of).to(self._forward.device) for of in guessed]
        parts = pool.cache.parts(list(zip(sides.values(), tokens, strict=True)))
        # 2) Choose: of the n − 1 guessed tokens those that hold, and one after them
        found = [_checked(logits, of) for logits, of in zip(self._forward(parts), guessed, strict=True)]
        chosen = Chosen(*(list(chain.from_iterable(parts)) for parts in zip(*found, strict=True)))
        at = np.concatenate([np.arange(places.start, places.stop) for places in sides.values()])
        rows = pool.rows[at].tolist()
        self._rows.advance(rows, chosen.tokens, chosen.best, chosen.gaps)
        # 3) Grow by what held: states of a wrong guess stay behind the end of the row, to be overwritten
        live = np.asarray([self._rows.is_live(row) for row in rows])
        counts = np.asarray([len(taken) for taken in chosen.tokens]) * live  # ended rows stay where they are
        pool.cache.lengths = pool.cache.lengths.copy()
        pool.cache.lengths[at] += counts
        pool.last[at] = [taken[-1] for taken in chosen.tokens]
        self._drafter.see(rows, _filled(chosen.tokens, max(of.shape[1] for of in guessed)), counts)
        if alone and True in sides:
            self._drafter.learn(counts.mean())

    def _guessed(self, pool: _Pool, places: slice, *, repeating: bool, alone: bool) -> NDArray[np.int64]:
        """The last token of each row and its guess, (rows, n); n is what is wanted, and fits."""
        rows, last = pool.rows[places].tolist(), pool.last[places]
        size = self._drafter.few(rows) if not repeating else self._drafter.size if alone else BESIDE
        fits = _LOGITS // (4 * len(rows) * self._forward.vocabulary)
        wanted = max(self._rows.room(row) for row in rows)
        n = max(min(size, wanted, fits), 1)
        if n == 1:
            return last[:, None]
        return np.hstack([last[:, None], self._drafter.guess(rows, n - 1)])


def _filled(rows: Sequence[Sequence[int]], n: int) -> NDArray[np.int64]:
    """Lists of at most n tokens as an array, (rows, n), filled up with 0."""
    return np.asarray([[*row, *[0] * (n - len(row))] for row in rows], dtype=np.int64)


def _checked(logits: torch.Tensor, tokens: NDArray[np.int64]) -> Chosen:
    """What the model chooses in each row, as far as its guess holds and one token further.

    Args:
        logits: (rows, n, vocabulary), after each of `tokens`.
        tokens: (rows, n): the last token of each row, then its guess, if any.
    """
    guess = torch.from_numpy(tokens[:, 1:].copy()).to(logits.device)
    found, best, second = top_two(logits)
    held = (found[:, :-1] == guess) & (best > second)[:, :-1]  # in a tie a guess is not the choice
    counts = held.long().cumprod(dim=1).sum(dim=1).add_(1).tolist()  # (rows,): to the first that is wrong, and it
    sides = (found, best, best - second)
    return Chosen(*([row[:n] for row, n in zip(side.tolist(), counts, strict=True)] for side in sides))
