"""The opening of a text, cut into sentences: quotations blanked, and nothing said of what could still change.

A sentence that has ended is the same whatever follows, which is what makes a rule on sentences monotone. Not a parser:
abbreviations end a sentence too, which costs nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["BLANK", "REACH", "Sentence", "normalize", "sentences"]

WINDOW = 1500
"""Characters within which a sentence must begin to be looked at."""
LONGEST = 400
"""Characters after which a sentence ends at the next white space, and after twice as many anywhere."""
QUOTE = 300
"""Most characters of a quotation; what is longer is none."""

REACH = WINDOW + 2 * LONGEST + 2 * QUOTE
"""Characters of a text that are read at all."""

BLANK = "\x00"
"""Stands for each character of a quotation."""

_TABLE = str.maketrans(
    {
        "’": "'",
        "ʼ": "'",
        "＇": "'",
        "‛": "'",
        "`": "`",
        "\u00a0": " ",
        "\u202f": " ",
        "*": " ",
        "_": " ",
        "İ": "i",
        "Σ": "σ",
        "ς": "σ",
        BLANK: " ",
    }
)
_CLOSED = (
    rf"\"(?:(?!\n\n)[^\"]){{0,{QUOTE}}}\"",
    rf"[“„](?:(?!\n\n)[^“”]){{0,{QUOTE}}}[”“]",
    rf"«(?:(?!\n\n)[^»]){{0,{QUOTE}}}»",
    rf"»(?:(?!\n\n)[^«»\n]){{0,{QUOTE}}}«",
    rf"「(?:(?!\n\n)[^」]){{0,{QUOTE}}}」",
    rf"『(?:(?!\n\n)[^』]){{0,{QUOTE}}}』",
    rf"`(?:(?!\n\n)[^`]){{0,{QUOTE}}}`",
    rf"‘(?:(?!\n\n)[^‘\n]){{0,{QUOTE}}}?'(?!\w)",
    rf"(?<![\w'])'(?=\w)(?:(?!\n\n)[^\n]){{0,{QUOTE}}}?[\w.,!?…]'(?!\w)",
)
_QUOTES = frozenset("\"“„«»「『`‘'")
_QUOTED = re.compile(
    rf"(?=[{''.join(sorted(_QUOTES))}])(?:{'|'.join(_CLOSED)}|(?P<open>[\"“„«»「『`‘]|(?<![\w'])'(?=\w)))"
)
_END = re.compile(r"(?=[.!?…؟۔。！？।\n])(?:(?<!\b\d)(?<!\b\d\d)[.!?…؟۔]+[\"'”’)\]\x00]*(?=\s)|[。！？।]+|\n)")
_GAP = re.compile(r"\s")


class Sentence(NamedTuple):
    """A sentence in the form that patterns are looked for in, character for character that of the text."""

    start: int
    """Where it begins in the text."""
    text: str
    """Lower case, straight apostrophes, no emphasis, quotations blanked."""


def normalize(text: str) -> str:
    """Lower case, straight apostrophes, no marks of emphasis; character by character, so that places stay."""
    plain = text.translate(_TABLE)
    low = plain.lower()
    if len(low) == len(plain):
        return low
    return "".join(small if len(small := c.lower()) == 1 else c for c in plain)


def sentences(low: str, *, complete: bool) -> Iterator[Sentence]:
    """The sentences that begin within `WINDOW` characters, in order.

    Args:
        low: a text, as `normalize` gives it.
        complete: whether the text is over; if not, only those sentences that nothing which follows can change.
    """
    low = _without_quotations(low[:REACH], complete=complete and len(low) <= REACH)
    start = 0
    while start < min(len(low), WINDOW):
        end = _end_of_sentence(low, start)
        if end is None or (end == len(low) and not complete):
            if complete:
                yield Sentence(start, low[start:])
            return
        yield Sentence(start, low[start:end])
        start = end


def _end_of_sentence(low: str, start: int) -> int | None:
    """Where the sentence that begins at `start` ends; None where that is not yet to be seen."""
    found = _END.search(low, start, start + LONGEST)
    if found:
        return found.end()
    if len(low) <= start + 2 * LONGEST:
        gap = _GAP.search(low, start + LONGEST)
        return gap.end() if gap else None
    gap = _GAP.search(low, start + LONGEST, start + 2 * LONGEST)
    return gap.end() if gap else start + 2 * LONGEST


def _without_quotations(low: str, *, complete: bool) -> str:
    """The text with quotations blanked, cut before one that may still be closed."""
    if _QUOTES.isdisjoint(low):
        return low
    parts: list[str] = []
    done = 0
    for found in _QUOTED.finditer(low):
        undecided = found.end() == len(low) or (found["open"] and _may_close(low, found.start()))
        if undecided and not complete:
            return "".join((*parts, low[done : found.start()]))
        if not found["open"]:
            parts += [low[done : found.start()], _blank(found[0])]
            done = found.end()
    return "".join((*parts, low[done:]))


def _may_close(low: str, start: int) -> bool:
    return len(low) <= start + QUOTE + 4 and "\n\n" not in low[start:]


def _blank(quotation: str) -> str:
    """As long as the quotation, with the end of the sentence that it ends in."""
    last = quotation[-2:-1]
    return BLANK * (len(quotation) - 1) + ("." if last in tuple(".!?") else "。" if last in tuple("。！？") else BLANK)
