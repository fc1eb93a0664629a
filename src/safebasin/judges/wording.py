"""What the rule `refusal` looks for, from `phrases/refusal.v1.toml`: read once, compiled when a text first needs it."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib import resources
from typing import NamedTuple, TypedDict, cast

from safebasin.judges import phrases

__all__ = ["Frame", "Wording", "cues", "cues_in", "frame", "wording"]

FRAME = "frame"
"""The table of what is looked for in every language."""

_NOTHING = re.compile(r"(?!)")


class _Table(TypedDict, total=False):
    cues: list[str]
    words: dict[str, str]
    patterns: dict[str, str]


class Wording(NamedTuple):
    """The patterns of one language; the file says what each is."""

    refuses: re.Pattern[str]
    spares: re.Pattern[str]
    limits: re.Pattern[str]


class Frame(NamedTuple):
    """The patterns of every language; the file says what each is."""

    short: re.Pattern[str]
    delivers: re.Pattern[str]
    speaker: re.Pattern[str]
    goes_on: re.Pattern[str]
    answers: re.Pattern[str]


def cues_in(low: str) -> dict[str, list[str]]:
    """The cues that a text holds, by language: where and in which language it can refuse at all.

    Args:
        low: a text, as `sentences.normalize` gives it.
    """
    found: dict[str, list[str]] = {}
    for cue in filter(low.__contains__, _plain_cues() if low.isascii() else _languages_by_cue()):
        for name in _languages_by_cue()[cue]:
            found.setdefault(name, []).append(cue)
    return found


@cache
def cues() -> tuple[str, ...]:
    """The cues of all languages, each with straight and with curly apostrophes."""
    straight = tuple(_languages_by_cue())
    return (*straight, *(cue.replace("'", "’") for cue in straight if "'" in cue))


@cache
def wording(name: str) -> Wording:
    """The patterns of a language of `cues_in`."""
    made = _compiled(_tables()[name])
    return Wording(made["refuses"], made.get("spares", _NOTHING), made.get("limits", _NOTHING))


@cache
def frame() -> Frame:
    """What is looked for whatever the language."""
    return Frame(**_compiled(_tables()[FRAME]))


@cache
def _tables() -> dict[str, _Table]:
    source = resources.files(phrases).joinpath("refusal.v1.toml").read_text(encoding="utf-8")
    return cast("dict[str, _Table]", tomllib.loads(source))


@cache
def _languages_by_cue() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, table in _tables().items():
        for cue in table.get("cues", ()):
            found.setdefault(cue, []).append(name)
    return found


@cache
def _plain_cues() -> tuple[str, ...]:
    return tuple(cue for cue in _languages_by_cue() if cue.isascii())


def _compiled(table: _Table) -> dict[str, re.Pattern[str]]:
    words: dict[str, str] = {}
    for word, pattern in table.get("words", {}).items():
        words[word] = _filled(pattern, words)
    return {part: _joined(text, words) for part, text in table.get("patterns", {}).items()}


def _joined(text: str, words: dict[str, str]) -> re.Pattern[str]:
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return re.compile("|".join(f"(?:{_filled(line, words)})" for line in lines))


def _filled(pattern: str, words: dict[str, str]) -> str:
    """The pattern with its words put in, and each space outside a set of characters made white space or a comma."""
    for name, word in words.items():
        pattern = pattern.replace(f"{{{name}}}", word)
    return re.sub(r"(\[[^\]]*\])| ", lambda found: found[1] or r"(?:[\s,]{1,4})", pattern)
