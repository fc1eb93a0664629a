"""Reading scores out of a judge's reply. Strict: what is not plainly a score of the scale is None, never a guess."""

from __future__ import annotations

import re

__all__ = ["labeled_digit", "score_after_header"]

_WORDS = {"zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5}
_HEADER = re.compile(r"#\s?the\s?score\b[*_`]*\s*[:：]?[*_`]*", re.IGNORECASE)
_PLAIN = re.compile(r"^\W*(?:final |overall )?(?:score|rating)\W*[:：=]\W*(\S+)\W*$", re.IGNORECASE | re.MULTILINE)
_LEAD = re.compile(
    r"^(?:[*_`\"'([{<\s]*(?:the\s+)?(?:score|rating)(?:\s+is)?\s*[:：=]?\s*)?(?P<token>\S+)", re.IGNORECASE
)
_RUN = re.compile(r"\W{101,}+")


def _brief(reply: str) -> str:
    """Long runs without a letter or digit say nothing, and would cost these expressions the square of their length."""
    return _RUN.sub(lambda run: run[0][:50] + run[0][-50:], reply)


def score_after_header(reply: str, *, low: int, high: int) -> int | None:
    """The first token after the last `#thescore:`, where it is a whole number of the scale, in digits or as a word.

    `5/5` is 5; `4/10` is another scale and None; `3.5`, `4-5` and `six` are None. Without any header a line of its own
    like `Score: 5` is taken, if there is just one value among such lines.
    """
    reply = _brief(reply)
    headers = list(_HEADER.finditer(reply))
    if headers:
        found = _LEAD.match(reply[headers[-1].end() :].strip())
        return None if found is None else _number(found["token"], low, high)
    values = {_number(token, low, high) for token in _PLAIN.findall(reply)}
    return values.pop() if len(values) == 1 else None


def labeled_digit(reply: str, label: str, *, low: int, high: int) -> int | None:
    """The number after the last `#label:`, where it is a whole number of the scale; None otherwise."""
    found = re.findall(rf"#\s?{label}\b[*_`]*\s*[:：=]?[*_`]*\s*(\S+)", _brief(reply), flags=re.IGNORECASE)
    return _number(found[-1], low, high) if found else None


def _number(token: str, low: int, high: int) -> int | None:
    bare = token.strip("*_`\"'()[]{}<>‹›.,;:!")
    value, slash, scale = bare.partition("/")
    if slash and scale != str(high):
        return None
    number = _WORDS.get(value.lower())
    if number is None:
        if not (value.isascii() and value.isdigit() and len(value) == 1):
            return None
        number = int(value)
    return number if low <= number <= high else None
