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
from safebasin.judges.alternatives import Alternatives
from safebasin.substrings import trie

__all__ = ["VERSIONS", "Frame", "Held", "Rules", "Wording", "rules"]

VERSIONS = ("1", "2", "3")
"""Those that there are, the newest last."""
FRAME = "frame"
"""The table of what is looked for in every language."""

_NOTHING = Alternatives([r"(?!)"])
_OTHER_SCRIPT = re.compile("[\u0370-\u1dff\u2e80-\uffff]")
"""What Latin script does not write: Greek to Thai and beyond, Chinese, Japanese, Korean."""


class _Table(TypedDict, total=False):
    cues: list[str]
    inside: list[str]
    words: dict[str, str]
    patterns: dict[str, str]


class Wording(NamedTuple):
    """The patterns of one language, compiled when a text needs them; the file says what each is."""

    refuses: Alternatives
    spares: Alternatives = _NOTHING
    limits: Alternatives = _NOTHING
    whole: Alternatives = _NOTHING
    firm: Alternatives = _NOTHING
    alone: Alternatives = _NOTHING


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
    courtesy: re.Pattern[str] = _NOTHING.pattern
    offers: re.Pattern[str] = _NOTHING.pattern


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
        """Make the patterns of a language of `cues_in`, once."""
        if name not in self._wordings:
            self._wordings[name] = Wording(**_read(self._tables[name]))
        return self._wordings[name]

    @cached_property
    def frame(self) -> Frame:
        """Patterns that are looked for whatever the language."""
        return Frame(**{part: of.pattern for part, of in _read(self._tables[FRAME]).items()})

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


def _read(table: _Table) -> dict[str, Alternatives]:
    """The patterns of a table by part, words put in, one a line."""
    words: dict[str, str] = {}
    for word, pattern in table.get("words", {}).items():
        words[word] = _filled(pattern, words)
    return {
        part: Alternatives(_filled(line, words) for line in text.splitlines() if line and not line.startswith("#"))
        for part, text in table.get("patterns", {}).items()
    }


def _filled(pattern: str, words: dict[str, str]) -> str:
    """The pattern with its words put in, and each space outside a set of characters made white space or a comma."""
    for name, word in words.items():
        pattern = pattern.replace(f"{{{name}}}", word)
    return re.sub(r"(\[[^\]]*\])| (?P<some>[?*+{])?", _space, pattern)


def _space(found: re.Match[str]) -> str:
    if found[1]:
        return found[1]
    return rf"(?:[\s,]{{1,4}}){found['some']}" if found["some"] else r"[\s,]{1,4}"
