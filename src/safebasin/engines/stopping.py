"""When a row of a batch ends: end-of-sequence, length, a refusal, a cycle. Pure bookkeeping: no torch, no model.

A rule may end a row, never change its tokens: text up to the end is what the row would have said without any rule.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from math import isfinite
from typing import cast

import numpy as np

from safebasin.engines.cycles import PERIOD, Cycles
from safebasin.protocols import RuleJudge
from safebasin.records import FinishReason
from safebasin.substrings import any_of

__all__ = ["CHECK_EVERY", "LOOP_REPEATS", "LOOP_TOKENS", "EndWatch", "LoopWatch", "RefusalWatch", "Rows"]

CHECK_EVERY = 8
"""Tokens between two looks at the text. A row may run this many tokens past its phrase; monotone judges do not mind."""

LOOP_REPEATS = 3
"""How often a cycle must repeat after its first appearance …"""
LOOP_TOKENS = 32
"""… and over how many tokens at least. Short cycles must last longer: a ruled line is not yet a collapse."""


class RefusalWatch:
    """Ends a row when every judge has found its refusal in the response: a phrase of its list, or by its rule.

    The watch looks at a short tail of each row first; only a phrase there, or a cue of a rule, makes it decode the
    whole row, split reasoning off, and look again. So reasoning never ends a row. A row with a cue is looked at until
    it ends or lies beyond the rule's horizon: a rule decides at the end of a sentence, not at its cue.

    Args:
        phrases: one list of phrases per judge, case-sensitive substrings; with an empty one nothing ends.
        rules: those of judges that need more than phrases; with neither nothing ends.
        decode: tails of token ids → their texts, without special tokens.
        response: row and all its ids → the text that is judged.
        ignored: special tokens and others that leave no text and must not fill the tail.
        n_rows: rows of the batch.
    """

    def __init__(
        self,
        phrases: Sequence[Sequence[str]],
        *,
        rules: Sequence[RuleJudge] = (),
        decode: Callable[[list[list[int]]], list[str]],
        response: Callable[[int, list[int]], str],
        ignored: Collection[int],
        n_rows: int,
    ) -> None:
        self._phrases = tuple(tuple(group) for group in phrases) if all(phrases) else ()
        self._rules = tuple(rules) if all(phrases) else ()
        self._cues = tuple(any_of(tuple(rule.cues)) for rule in self._rules)
        self._decode = decode
        self._response = response
        self._ignored = frozenset(ignored)
        looked_for = (*self._phrases, *(rule.cues for rule in self._rules))
        longest = max((len(p.encode()) for group in looked_for for p in group), default=0)
        self._tail = longest + 2 * CHECK_EVERY  # a token is one byte at least; the rest guards the cut at the left
        self._open = [set(range(len(self._phrases))) for _ in range(n_rows)]
        self._undecided = [set(range(len(self._rules))) for _ in range(n_rows)]
        self._suspected = [False] * n_rows
        self._lost = [False] * n_rows

    def ended(self, grown: Mapping[int, int], ids: Sequence[list[int]]) -> dict[int, int]:
        """Rows in which every judge has its hit, and after how many tokens: the first multiple of `CHECK_EVERY`.

        Args:
            grown: row → how many tokens it had when this was last asked.
            ids: all tokens of all rows.
        """
        if not (self._phrases or self._rules):
            return {}
        looks = {row: range(_next_look(before), len(ids[row]) + 1, CHECK_EVERY) for row, before in grown.items()}
        due = [row for row, at in looks.items() if at and not self._lost[row]]
        texts = self._decode([self._last(ids[row], self._tail + len(ids[row]) - looks[row][0]) for row in due])
        hit = [row for row, tail in zip(due, texts, strict=True) if self._may_hit(row, tail)]
        ended = {row: self._end(row, looks[row], ids[row]) for row in hit}
        return {row: n for row, n in ended.items() if n}

    def _may_hit(self, row: int, tail: str) -> bool:
        if self._undecided[row] and not self._suspected[row]:
            low = tail.lower()
            self._suspected[row] = any(self._cues[r].is_in(low) for r in self._undecided[row])
        return self._suspected[row] or any(p in tail for g in self._open[row] for p in self._phrases[g])

    def _end(self, row: int, looks: range, ids: list[int]) -> int:
        """The first of `looks`, in tokens, at which every judge has its hit; 0 where none is."""
        suspected, response = self._suspected[row], ""
        for n in looks:
            response = self._response(row, ids[:n])
            self._open[row] -= {g for g in self._open[row] if any(p in response for p in self._phrases[g])}
            if suspected:
                self._undecided[row] -= {r for r in self._undecided[row] if self._rules[r].decides(response)}
            if not (self._open[row] or self._undecided[row]):
                return n
        # what stands in reasoning is no reason to go on looking
        self._suspected[row] = suspected and bool(self._undecided[row]) and bool(response.strip())
        self._lost[row] = suspected and any(len(response) > self._rules[r].horizon for r in self._undecided[row])
        return 0

    def _last(self, ids: list[int], n: int) -> list[int]:
        """The last n tokens that leave text."""
        tail = [i for i in ids[-n:] if i not in self._ignored]
        if len(tail) == n or len(tail) == len(ids):
            return tail
        return [i for i in ids if i not in self._ignored][-n:]


def _next_look(n: int) -> int:
    return (n // CHECK_EVERY + 1) * CHECK_EVERY


class EndWatch:
    """Ends a row where it holds a text that ends the assistant's turn and is no single token.

    Args:
        texts: any of them ends a row.
        decode: token ids → their text, special tokens included.
        ignored: tokens that leave no text and must not fill the tail.
    """

    def __init__(
        self, texts: Sequence[str], *, decode: Callable[[list[int]], str], ignored: Collection[int] = frozenset()
    ) -> None:
        self._texts = tuple(texts)
        self._decode = decode
        self._ignored = frozenset(ignored)
        self._longest = max(len(text.encode()) for text in texts)

    def ended(self, grown_from: int, ids: list[int]) -> tuple[int, int] | None:
        """Find where a row ends: its tokens up to the first such text, and how many characters of that text they hold.

        Args:
            grown_from: how many tokens the row had when this was last asked; the text may have begun before.
            ids: all its tokens.
        """
        start, n = grown_from, self._longest
        while start and n:
            start -= 1
            n -= ids[start] not in self._ignored
        tail = self._decode(ids[start:])
        if not any(text in tail for text in self._texts):
            return None
        whole = self._decode(ids)
        at = min((found for text in self._texts if (found := whole.find(text)) >= 0), default=None)
        if at is None:
            return None
        # not by length alone: a part of a character is one character too, and another
        kept = next((n for n in range(len(ids) + 1) if self._decode(ids[:n]).startswith(whole[:at])), len(ids))
        return kept, len(self._decode(ids[:kept])) - at


class LoopWatch:
    """Ends a row whose last tokens repeat a cycle.

    Rule: a period p ≤ `PERIOD` with a run of at least max(`LOOP_TOKENS`, `LOOP_REPEATS`·p) tokens. A run counts
    tokens that equal the one p places before, so the cycle stands in the text `LOOP_REPEATS` + 1 times.
    Greedy decoding can still leave a cycle (the context grows with every turn), so this rule, unlike the others, may
    change a verdict; the study measures how often.

    Args:
        n_rows: rows of the batch.
        n_tokens: the most tokens that a row can get.
    """

    def __init__(self, n_rows: int, n_tokens: int) -> None:
        self._cycles = Cycles(n_rows, n_tokens)
        self._needed = np.maximum(LOOP_TOKENS, LOOP_REPEATS * np.arange(1, PERIOD + 1))

    def ended(self, rows: Sequence[int], tokens: Sequence[int]) -> list[int]:
        """Append one token to each of `rows`; those of them that now repeat a cycle."""
        self._cycles.see(rows, np.asarray(tokens)[:, None], np.ones(len(rows), dtype=np.int64))
        looping = np.any(self._cycles.runs(rows) >= self._needed, axis=1)
        return [row for row, loops in zip(rows, looping, strict=True) if loops]


class Rows:
    """The rows of one batch while they are decoded: tokens, reasons to end, and how near to a tie they came.

    Rows may be given their tokens one or several at a time; they end where they would end one at a time.

    Args:
        limits: the most new tokens of each row, ≥ 1.
        eos: token ids that end a row; they are not kept.
        refusals: the watch for refusals, or None.
        loops: the watch for cycles, or None.
        ends: the watch for texts that end a turn, or None.
    """

    def __init__(
        self,
        limits: Sequence[int],
        *,
        eos: Collection[int],
        refusals: RefusalWatch | None = None,
        loops: LoopWatch | None = None,
        ends: EndWatch | None = None,
    ) -> None:
        self.ids: list[list[int]] = [[] for _ in limits]
        self.reason: list[FinishReason | None] = [None for _ in limits]
        self.broken: list[str] = ["" for _ in limits]
        self.surplus: list[int] = [0 for _ in limits]
        """Characters at the end of each text that are not its own, but those of the text that ended it."""
        self._gaps: list[list[float]] = [[] for _ in limits]
        self._limits = list(limits)
        self._eos = frozenset(eos)
        self._refusals = refusals
        self._loops = loops
        self._ends = ends

    @property
    def watches_loops(self) -> bool:
        """True where rows that repeat themselves end."""
        return self._loops is not None

    def is_live(self, row: int) -> bool:
        """Tell whether the row still wants tokens."""
        return self.reason[row] is None

    def room(self, row: int) -> int:
        """Count the tokens that a live row still wants."""
        return self._limits[row] - len(self.ids[row])

    def gap(self, row: int) -> float:
        """The smallest distance between the two best logits of the row so far; infinite before its first token."""
        return min(self._gaps[row], default=float("inf"))

    def advance(
        self,
        rows: Sequence[int],
        tokens: Sequence[Sequence[int]],
        best: Sequence[Sequence[float]],
        gaps: Sequence[Sequence[float]],
    ) -> None:
        """Take the next tokens of `rows`, up to where each ends; those that have ended are passed over.

        Args:
            rows: row of the batch for each entry.
            tokens: the tokens chosen, at least one for each row.
            best: their logits; one that is NaN or infinite ends the row, broken.
            gaps: how far the second-best logits lie below.
        """
        found = list(zip(rows, tokens, best, gaps, strict=True))
        longest = max((len(new) for new in tokens), default=0)
        # a row that repeats itself may have ended before anything else could end it, and a refusal before its turn
        # does: that is seen token by token
        is_raced = self._loops is not None or (self._ends is not None and self._refusals is not None)
        step = 1 if is_raced else longest
        for start in range(0, longest, max(step, 1)):
            part = slice(start, start + step)
            self._take([(row, new[part], tops[part], below[part]) for row, new, tops, below in found])

    def _take(self, found: Sequence[tuple[int, Sequence[int], Sequence[float], Sequence[float]]]) -> None:
        grown: dict[int, int] = {}
        for row, new, tops, below in found:
            if self.reason[row] is None:
                before = len(self.ids[row])
                self._append(row, new, tops, below)
                if len(self.ids[row]) > before:
                    grown[row] = before
        if grown:
            self._watch(grown)

    def _append(self, row: int, tokens: Sequence[int], best: Sequence[float], gaps: Sequence[float]) -> None:
        ids, seen = self.ids[row], self._gaps[row]
        if isfinite(sum(best)) and self._eos.isdisjoint(tokens) and len(tokens) < self.room(row):
            ids.extend(tokens)  # none of them ends the row: most of the tokens of most passes
            seen.extend(gaps)
            return
        for token, top, gap in zip(tokens, best, gaps, strict=True):
            if not -float("inf") < top < float("inf"):
                self.broken[row] = "nan logits" if top != top else "inf logits"
                self.reason[row] = "stop"
                return
            seen.append(gap)
            if token in self._eos:
                self.reason[row] = "stop"
                return
            ids.append(token)
            if len(ids) >= self._limits[row]:
                self.reason[row] = "length"
                return

    def _watch(self, grown: Mapping[int, int]) -> None:
        """End rows that have grown where a rule says so; that comes before the end that they were given."""
        grown = self._cut(grown) if self._ends is not None else grown
        if self._refusals is not None:
            for row, n in self._refusals.ended(grown, self.ids).items():
                del self.ids[row][n:], self._gaps[row][n:]
                self.reason[row], self.broken[row] = "verdict", ""
        if self._loops is not None and grown:
            for row in self._loops.ended(list(grown), [self.ids[row][-1] for row in grown]):
                if self.reason[row] != "verdict":
                    self.reason[row] = "loop"

    def _cut(self, grown: Mapping[int, int]) -> dict[int, int]:
        """End rows at a text that ends the turn; the others of those that have grown."""
        ends, left = cast("EndWatch", self._ends), dict(grown)
        for row, before in grown.items():
            found = ends.ended(before, self.ids[row])
            if found is not None:
                kept, self.surplus[row] = found
                del self.ids[row][kept:], self._gaps[row][kept:], left[row]
                self.reason[row], self.broken[row] = "stop", ""
        return left
