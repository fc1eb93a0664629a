"""Greedy decoding, each row at its own pace: rows that repeat themselves take many tokens a pass.

Token for token what one step at a time gives, up to rounding where two logits tie: a pass over several tokens sums in
another order. Rows that repeat themselves and rows that do not are decoded apart, in turns, because a pass costs what
its longest guess costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from safebasin.engines.choosing import MOVE_SHARE, Chosen, top_two
from safebasin.engines.paced.drafting import Drafter
from safebasin.engines.paced.passes import Pass
from safebasin.engines.ragged import RaggedCache
from safebasin.engines.stopping import Rows

__all__ = ["Paced"]

_LOGITS = 64 * 2**20
"""Bytes that the logits of one pass over several tokens may take."""


@dataclass
class _Pool:
    """Rows that are decoded together: which of the batch, their cache, and the last token of each, not yet in it."""

    rows: list[int]
    cache: RaggedCache
    last: NDArray[np.int64]

    def part(self, keep: NDArray[np.bool_]) -> _Pool:
        index = np.flatnonzero(keep)
        return _Pool([self.rows[at] for at in index], self.cache.part(index), self.last[index])

    def keep(self, keep: NDArray[np.bool_]) -> None:
        """Let go of the others."""
        order = self.cache.keep(np.flatnonzero(keep))
        self.rows, self.last = [self.rows[at] for at in order], self.last[order]

    @staticmethod
    def joined(pools: Sequence[_Pool]) -> _Pool:
        if len(pools) == 1:
            return pools[0]
        rows = [row for pool in pools for row in pool.rows]
        return _Pool(rows, RaggedCache.joined([p.cache for p in pools]), np.concatenate([p.last for p in pools]))


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
        waiting = [_Pool(list(range(len(last))), cache, last)]
        repeating = False
        while waiting:
            waiting = self._turn(_Pool.joined(waiting), repeating=repeating)
            repeating = not repeating

    def _turn(self, pool: _Pool, *, repeating: bool) -> list[_Pool]:
        """Decode rows that repeat themselves, or rows that do not; returns those that have changed sides."""
        aside: list[_Pool] = []
        while True:
            # 1) Rows that began, or ceased, to repeat themselves leave for the other turn, where they are many enough
            live = self._live(pool)  # (rows,), as `moving`
            moving = live & (self._drafter.cyclic(pool.rows) != repeating)
            if moving.any() and moving.sum() >= MOVE_SHARE * len(live):
                aside.append(pool.part(moving))
                live &= ~moving
            # 2) Rows that have ended, or left, are dropped
            if not live.any():
                return aside
            if not live.all():
                pool.keep(live)
            # 3) One pass over the rest
            self._pass(pool, repeating=repeating)

    def _live(self, pool: _Pool) -> NDArray[np.bool_]:
        return np.asarray([self._rows.is_live(row) for row in pool.rows])

    def _pass(self, pool: _Pool, *, repeating: bool) -> None:
        """One forward pass: each row gets the tokens of its guess that hold, and the one after them."""
        # 1) Read the last token of each row and its guess, (rows, n), or that token alone
        tokens = self._guessed(pool, self._drafter.size if repeating else self._drafter.few(pool.rows))
        logits = self._forward(torch.from_numpy(tokens).to(self._forward.device), pool.cache)
        # 2) Choose: of the n − 1 guessed tokens those that hold, and one after them
        found = _checked(logits, tokens)
        self._rows.advance(pool.rows, found.tokens, found.best, found.gaps)
        # 3) Grow by what held: states of a wrong guess stay behind the end of the row, to be overwritten
        counts = np.asarray([len(taken) for taken in found.tokens]) * self._live(pool)  # ended rows stay where they are
        pool.cache.lengths = pool.cache.lengths + counts
        pool.last = np.asarray([taken[-1] for taken in found.tokens])
        self._drafter.see(pool.rows, _filled(found.tokens, tokens.shape[1]), counts)
        if repeating:
            self._drafter.learn(counts.mean())

    def _guessed(self, pool: _Pool, size: int) -> NDArray[np.int64]:
        """The last token of each row and its guess, (rows, n); n is `size`, or less: what is wanted, and fits."""
        fits = _LOGITS // (4 * len(pool.rows) * self._forward.vocabulary)
        wanted = max(self._rows.room(row) for row in pool.rows if self._rows.is_live(row))
        n = max(min(size, wanted, fits), 1)
        if n == 1:
            return pool.last[:, None]
        return np.hstack([pool.last[:, None], self._drafter.guess(pool.rows, n - 1)])


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
