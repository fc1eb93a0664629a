"""What the rule `refusal` looks for, from `phrases/refusal.v1.toml`: read once, compiled when a text first needs it."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib import resources
from typing import NamedTuple, TypedDict, cast

from safebasin.judges import phrases

__all__ = ["Frame", "Wording", "cues", "frame", "languages_in", "wording"]

FRAME = "frame"
"""The table of what is looked for in every language."""

_NOTHING = re.compile(r"(?!)")


class _Table(TypedDict, total=False):
    cues: list[str]
    words: dict[str, str]
    patterns: dict[str, str]


class Wording(NamedTuple):
    """The patterns of one language; the file says what each is."""

    cues: tuple[str, ...]
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


def languages_in(low: str) -> tuple[str, ...]:
    """The languages of which a text holds a cue: the only ones in which it can refuse.

    Args:
        low: a text, as `sentences.normalize` gives it.
    """
    return tuple(name for name, cues in _cues_by_language() if any(cue in low for cue in cues))


@cache
def cues() -> tuple[str, ...]:
    """The cues of all languages, each with straight and with curly apostrophes."""
    straight = tuple(dict.fromkeys(cue for _, cues in _cues_by_language() for cue in cues))
    return (*straight, *(cue.replace("'", "’") for cue in straight if "'" in cue))


@cache
def wording(name: str) -> Wording:
    """The patterns of a language of `languages_in`."""
    made = _compiled(_tables()[name])
    cues = tuple(_tables()[name].get("cues", ()))
    return Wording(cues, made["refuses"], made.get("spares", _NOTHING), made.get("limits", _NOTHING))


@cache
def frame() -> Frame:
    """What is looked for whatever the language."""
    return Frame(**_compiled(_tables()[FRAME]))


@cache
def _tables() -> dict[str, _Table]:
    source = resources.files(phrases).joinpath("refusal.v1.toml").read_text(encoding="utf-8")
    return cast("dict[str, _Table]", tomllib.loads(source))


@cache
def _cues_by_language() -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((name, tuple(table.get("cues", ()))) for name, table in _tables().items() if name != FRAME)


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
