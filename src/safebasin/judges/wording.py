"""What each version of the rule `refusal` looks for, from `phrases/refusal.v*.toml`, compiled when a text needs it.

A version is the one before it and what its own file adds, so that a study which ended rows by an earlier one can go on.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left
from functools import cache, cached_property
from importlib import resources
from typing import NamedTuple, TypedDict, cast

from safebasin.judges import phrases
from safebasin.substrings import trie

__all__ = ["VERSIONS", "Frame", "Held", "Rules", "Wording", "rules"]

VERSIONS = ("1", "2", "3")
"""Those that there are, the newest last."""
FRAME = "frame"
"""The table of what is looked for in every language."""

_NOTHING = re.compile(r"(?!)")
_PIECE = re.compile(r"\\.|.", re.DOTALL)
_OTHER_SCRIPT = re.compile("[\u0370-\u1dff\u2e80-\uffff]")
"""What Latin script does not write: Greek to Thai and beyond, Chinese, Japanese, Korean."""


class _Table(TypedDict, total=False):
    cues: list[str]
    inside: list[str]
    words: dict[str, str]
    patterns: dict[str, str]


class Wording(NamedTuple):
    """The patterns of one language; the file says what each is."""

    refuses: re.Pattern[str]
    spares: re.Pattern[str]
    limits: re.Pattern[str]
    whole: re.Pattern[str]
    firm: re.Pattern[str]
    alone: re.Pattern[str]


class Held(NamedTuple):
    """The cues of one language in a text."""

    spans: list[tuple[int, int]]
    """Where those stand that begin a word, in order."""
    inside: list[str]
    """Those that may stand anywhere in a word."""

    def is_in(self, start: int, text: str) -> bool:
        """Tell whether one stands in a piece of the text, which begins at `start`."""
        end = start + len(text)
        for i in range(bisect_left(self.spans, (start, 0)), len(self.spans)):
            if self.spans[i][0] >= end:
                break
            if self.spans[i][1] <= end:
                return True
        return any(cue in text for cue in self.inside)


class Frame(NamedTuple):
    """The patterns of every language; the file says what each is."""

    short: re.Pattern[str]
    lead: re.Pattern[str]
    delivers: re.Pattern[str]
    speaker: re.Pattern[str]
    attributed: re.Pattern[str]
    goes_on: re.Pattern[str]
    answers: re.Pattern[str]
    courtesy: re.Pattern[str] = _NOTHING
    offers: re.Pattern[str] = _NOTHING


class Rules:
    """One version of what the rule looks for."""

    def __init__(self, version: str) -> None:
        self._tables = _tables(version)
        self._wordings: dict[str, Wording] = {}

    def cues_in(self, low: str) -> dict[str, Held]:
        """Find the cues that a text holds, by language: where, and in which language, it can refuse at all.

        Args:
            low: a text, as `sentences.normalize` gives it.
        """
        table = self._cues
        found: dict[str, Held] = {}
        for match in table.words.finditer(low):
            for name in table.languages[match[1]]:
                found.setdefault(name, Held([], [])).spans.append(match.span(1))
        other = [] if low.isascii() else table.other if _OTHER_SCRIPT.search(low) else table.latin
        for cue, name in (*table.plain, *other):
            if cue in low:
                found.setdefault(name, Held([], [])).inside.append(cue)
        return found

    @cached_property
    def cues(self) -> tuple[str, ...]:
        """The cues of all languages, each with straight and with curly apostrophes."""
        tables = self._tables.values()
        straight = tuple(
            dict.fromkeys(cue for table in tables for cue in (*table.get("cues", ()), *table.get("inside", ())))
        )
        return (*straight, *(cue.replace("'", "’") for cue in straight if "'" in cue))

    def wording(self, name: str) -> Wording:
        """Compile the patterns of a language of `cues_in`, once."""
        if name not in self._wordings:
            made = _compiled(self._tables[name])
            parts = (made.get(part, _NOTHING) for part in ("spares", "limits", "whole", "firm", "alone"))
            self._wordings[name] = Wording(made["refuses"], *parts)
        return self._wordings[name]

    @cached_property
    def frame(self) -> Frame:
        """Patterns that are looked for whatever the language."""
        return Frame(**_compiled(self._tables[FRAME]))

    @cached_property
    def _cues(self) -> _Cues:
        return _sorted_by_script(self._tables)


@cache
def rules(version: str) -> Rules:
    """Read what a version of `VERSIONS` looks for."""
    return Rules(version)


def _tables(version: str) -> dict[str, _Table]:
    """Read the tables of a version: those of each up to it, one behind the other."""
    tables: dict[str, _Table] = {}
    for one in VERSIONS[: VERSIONS.index(version) + 1]:
        source = resources.files(phrases).joinpath(f"refusal.v{one}.toml").read_text(encoding="utf-8")
        for name, table in cast("dict[str, _Table]", tomllib.loads(source)).items():
            tables[name] = _with(tables.get(name, {}), table)
    return tables


def _with(table: _Table, added: _Table) -> _Table:
    """Join a table and what a later version adds: a word that stands in both is either, patterns are those of both."""
    words, patterns = dict(table.get("words", {})), dict(table.get("patterns", {}))
    for word, pattern in added.get("words", {}).items():
        words[word] = f"(?:{words[word]}|{pattern})" if word in words else pattern
    for part, lines in added.get("patterns", {}).items():
        patterns[part] = f"{patterns.get(part, '')}\n{lines}"
    return {
        "cues": [*table.get("cues", ()), *added.get("cues", ())],
        "inside": [*table.get("inside", ()), *added.get("inside", ())],
        "words": words,
        "patterns": patterns,
    }


class _Cues(NamedTuple):
    words: re.Pattern[str]
    """Finds each cue that begins a word in Latin script; where one begins another, the shorter stands for both."""
    languages: dict[str, tuple[str, ...]]
    """Of each of them."""
    plain: list[tuple[str, str]]
    """Cue and language of those that may stand anywhere: in ASCII, …"""
    latin: list[tuple[str, str]]
    """… in Latin script …"""
    other: list[tuple[str, str]]
    """… and in any."""


def _sorted_by_script(tables: dict[str, _Table]) -> _Cues:
    words: dict[str, set[str]] = {}
    inside: list[tuple[str, str]] = []
    for name, table in tables.items():
        inside += [(cue, name) for cue in table.get("inside", ())]
        for cue in table.get("cues", ()):
            if _OTHER_SCRIPT.search(cue):
                inside.append((cue, name))
            else:
                words.setdefault(cue, set()).add(name)
    languages: dict[str, set[str]] = {}
    shortest = ""
    for cue in sorted(words):  # what begins with another one comes behind it
        if not shortest or not cue.startswith(shortest):
            shortest = cue
        languages.setdefault(shortest, set()).update(words[cue])
    plain = [pair for pair in inside if pair[0].isascii()]
    other = [pair for pair in inside if not pair[0].isascii()]
    latin = [pair for pair in other if not _OTHER_SCRIPT.search(pair[0])]
    named = {cue: tuple(sorted(names)) for cue, names in languages.items()}
    return _Cues(re.compile(rf"\b(?=({trie(list(named))}))"), named, plain, latin, other)


def _compiled(table: _Table) -> dict[str, re.Pattern[str]]:
    words: dict[str, str] = {}
    for word, pattern in table.get("words", {}).items():
        words[word] = _filled(pattern, words)
    return {part: _joined(text, words) for part, text in table.get("patterns", {}).items()}


def _joined(text: str, words: dict[str, str]) -> re.Pattern[str]:
    """One pattern of many, those that can only begin a sentence, or a word, tried nowhere else."""
    lines = (_filled(line, words) for line in text.splitlines() if line and not line.startswith("#"))
    anchored: dict[str, list[str]] = {"^": [], r"\b": [], "": []}
    for pattern in (one for line in lines for one in _alternatives(line)):
        start = next(anchor for anchor in anchored if pattern.startswith(anchor))
        anchored[start].append(pattern.removeprefix(start))
    parts = (f"{start}(?:{'|'.join(_sorted_by_head(kept))})" for start, kept in anchored.items() if kept)
    return re.compile("|".join(parts))


def _sorted_by_head(patterns: list[str]) -> list[str]:
    """The patterns, those that begin with the same few characters behind one look for these."""
    kinds: dict[str, list[str]] = {}
    for pattern in patterns:
        kinds.setdefault("".join(sorted(_heads(pattern))), []).append(pattern)
    return [f"(?=[{heads}])(?:{'|'.join(of)})" if heads else "|".join(of) for heads, of in kinds.items()]


def _heads(pattern: str) -> frozenset[str]:
    """The letters with one of which every match of a pattern begins; empty where that is not plain to see."""
    heads: frozenset[str] = frozenset()
    while pattern:
        if pattern.startswith("(?:"):
            end = _end_of_group(pattern)
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


def _end_of_group(pattern: str) -> int:
    """Where the group that a pattern begins with ends."""
    depth, kept, end = 0, False, 0
    for piece in _PIECE.findall(pattern):
        end += len(piece)
        kept = piece == "[" or (kept and piece != "]")
        depth += (piece == "(") - (piece == ")") if not kept else 0
        if depth == 0:
            break
    return end


def _alternatives(pattern: str) -> list[str]:
    """What stands between the bars outside every group of a pattern."""
    found, depth, kept = [""], 0, False
    for piece in _PIECE.findall(pattern):
        kept = piece == "[" or (kept and piece != "]")
        depth += (piece == "(") - (piece == ")") if not kept else 0
        if piece == "|" and depth == 0 and not kept:
            found.append("")
        else:
            found[-1] += piece
    return found


def _filled(pattern: str, words: dict[str, str]) -> str:
    """The pattern with its words put in, and each space outside a set of characters made white space or a comma."""
    for name, word in words.items():
        pattern = pattern.replace(f"{{{name}}}", word)
    return re.sub(r"(\[[^\]]*\])| ", lambda found: found[1] or r"(?:[\s,]{1,4})", pattern)
