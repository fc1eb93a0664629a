"""How the catalogue is called: `name(key=value, …)`, split into the name and its arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator

from safebasin.errors import UnknownName, expected


def parse_call(text: str) -> tuple[str, dict[str, object]]:
    """Split `name(key=value, …)` into name and arguments; a plain name has none. A value with parentheses is a text,
    unless it stands in quotes.

    Raises:
        UnknownName: where the parentheses or an argument do not parse.
    """
    from safebasin.untrusted import yaml_value

    match = re.fullmatch(r"\s*([^\s()]+)\s*(?:\((.*)\))?\s*", text, flags=re.DOTALL)
    if match is None:
        raise UnknownName(expected("name", "like 'name' or 'name(key=value)'", text, "Mend the parentheses."))
    arguments: dict[str, object] = {}
    for part in filter(None, (p.strip() for p in _split(match[2] or "", text))):
        key, equals, value = part.partition("=")
        if not equals or not key.strip().isidentifier():
            raise UnknownName(expected(f"argument of {match[1]!r}", "key=value", part, "Write it as key=value."))
        what, is_call = f"argument of {match[1]!r}", "(" in value and value.strip()[0] not in "\"'"
        arguments[key.strip()] = value.strip() if is_call else yaml_value(value, what, error=UnknownName)
    return match[1], arguments


def _split(arguments: str, text: str) -> Iterator[str]:
    """The parts between commas that stand in no parentheses and no quotes: a value may be a call itself."""
    depth, quote, start = 0, "", 0
    for i, character in enumerate(arguments):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "()":
            depth += 1 if character == "(" else -1
        elif character == "," and depth == 0:
            yield arguments[start:i]
            start = i + 1
        if depth < 0:
            break
    if depth or quote:
        raise UnknownName(expected("name", "with every parenthesis and quote closed", text, "Mend it."))
    yield arguments[start:]
