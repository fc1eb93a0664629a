"""Many patterns looked for as one, of which no more is compiled than the texts that come need.

Python compiles the 170 lines that refuse in English in about a second, more than the rest of judging a small study
takes. Until they have been searched for often, each is looked for by itself, and compiled when a text first holds the
pieces without which it cannot match. Not a language of patterns of its own: they are those of `re`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache, cached_property

__all__ = ["Alternatives"]

LARGE = 50_000
"""Characters of patterns that are not compiled as one at once: a tenth of a second."""
OFTEN = 1_000
"""Searches after which all are compiled as one: one by one they take several times as long, which by then has cost
about half as much as that."""
MOST = 64
"""Pieces that are worth being looked for, where any of them will do."""

_ANCHORS = ("^", r"\b", "")
_TOKEN = re.compile(r"\\.|[()\[\]|]|[^\\()\[\]|]+", re.DOTALL)
_REPEATED = re.compile(r"(?:[?*+]|\{(?P<least>\d*),?\d*\})\??")

Needed = tuple[frozenset[str], ...]
"""Of each set at least one piece stands in every match of a pattern."""


class Alternatives:
    """Patterns, the first of which to match at the leftmost place is found, as by one pattern with bars between them.

    Args:
        patterns: what may stand between bars, without capturing groups. Those that can only begin a text come first,
            then those that begin a word; those of either that begin with the same letters stand together.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._kinds = _sorted(patterns)
        self._left = OFTEN if sum(map(len, self._every())) > LARGE else 0

    def search(self, text: str) -> re.Match[str] | None:
        """Find the leftmost match in a text."""
        if self._left == 0:
            return self.pattern.search(text)
        self._left -= 1
        found = [match for one in self._one_by_one if (match := one.search(text))]
        return min(found, key=lambda match: match.start(), default=None)  # the first of those that begin there

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """All of them as one, those that begin with the same few letters behind one look for these."""
        parts = (f"{anchor}(?:{'|'.join(map(_behind_a_look, kinds.items()))})" for anchor, kinds in self._kinds.items())
        return re.compile("|".join(parts))

    @cached_property
    def _one_by_one(self) -> list[_Alone]:
        return [_Alone(pattern) for pattern in self._every()]

    def _every(self) -> Iterator[str]:
        """Give each, in the order in which they are tried."""
        for anchor, kinds in self._kinds.items():
            yield from (anchor + one for of in kinds.values() for one in of)


class _Alone:
    """One of them, compiled when it may be in a text."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._needed = _needed(pattern)

    def search(self, text: str) -> re.Match[str] | None:
        if all(any(piece in text for piece in pieces) for pieces in self._needed):
            return self._compiled.search(text)
        return None

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self._pattern)


def _sorted(patterns: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """Patterns without their anchors, by anchor and by the letters that they begin with."""
    kinds: dict[str, dict[str, list[str]]] = {anchor: {} for anchor in _ANCHORS}
    for pattern in (one for many in patterns for one in _alternatives(many)):
        anchor = next(anchor for anchor in _ANCHORS if pattern.startswith(anchor))
        rest = pattern.removeprefix(anchor)
        kinds[anchor].setdefault("".join(sorted(_heads(rest))), []).append(rest)
    return {anchor: of for anchor, of in kinds.items() if of}


def _behind_a_look(kind: tuple[str, list[str]]) -> str:
    heads, patterns = kind
    return f"(?=[{heads}])(?:{'|'.join(patterns)})" if heads else "|".join(patterns)


def _heads(pattern: str) -> frozenset[str]:
    """The letters with one of which every match of a pattern begins; empty where that is not plain to see."""
    heads: frozenset[str] = frozenset()
    while pattern:
        if pattern.startswith("(?:"):
            end = _end(pattern)
            first = [_heads(one) for one in _alternatives(pattern[len("(?:") : end - 1])]
        else:
            end, first = 1, [frozenset(pattern[0])] if pattern[0].isalpha() else [frozenset[str]()]
        if not all(first):
            return frozenset()
        heads = heads.union(*first)
        if not pattern.startswith(("?", "*", "{0"), end):
            return heads
        pattern = re.sub(r"^(?:[?*]|\{[\d,]+\})", "", pattern[end:])
    return frozenset()


@cache
def _needed(pattern: str) -> Needed:
    """Pieces of text without which a pattern cannot match, as far as they are plain to see."""
    found: list[frozenset[str]] = []
    letters = ""
    while pattern:
        end = _end(pattern)
        repeated = _REPEATED.match(pattern, end)
        piece, pattern = pattern[:end], pattern[repeated.end() if repeated else end :]
        can_lack = repeated is not None and (repeated[0][0] in "?*" or repeated["least"] in ("", "0"))
        if piece == r"\b":  # stands between letters, and is none
            continue
        if piece.isalpha() or piece == "'":
            letters += "" if can_lack else piece
            if repeated is None:
                continue
        found += [frozenset([letters])] if letters else []
        letters = ""
        if piece.startswith("(?:") and not can_lack:
            found += _any_of(_alternatives(piece[len("(?:") : -1]))
    return (*found, frozenset([letters])) if letters else tuple(found)


def _any_of(patterns: list[str]) -> list[frozenset[str]]:
    """The pieces of which a match of any of the patterns needs one, if each needs some and they are not too many."""
    each = [_needed(pattern) for pattern in patterns]
    if not all(each):
        return []
    pieces = frozenset[str]().union(*(max(sets, key=lambda of: min(map(len, of))) for sets in each))
    return [pieces] if len(pieces) <= MOST else []


def _end(pattern: str) -> int:
    """Where the group, the set or the character that a pattern begins with ends."""
    if pattern[0] not in "([":
        return 2 if pattern[0] == "\\" else 1
    depth, kept = 0, False
    for found in _TOKEN.finditer(pattern):
        piece = found[0]
        kept = piece == "[" or (kept and piece != "]")
        depth += (piece == "(") - (piece == ")") if not kept else 0
        if depth == 0 and not kept:
            return found.end()
    return len(pattern)


def _alternatives(pattern: str) -> list[str]:
    """What stands between the bars outside every group of a pattern."""
    found, depth, kept = [""], 0, False
    for piece in _TOKEN.findall(pattern):
        kept = piece == "[" or (kept and piece != "]")
        depth += (piece == "(") - (piece == ")") if not kept else 0
        if piece == "|" and depth == 0 and not kept:
            found.append("")
        else:
            found[-1] += piece
    return found
