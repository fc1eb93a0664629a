"""How the catalogue is called: `name(key=value, …)`, split into the name and its arguments, and put together again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from safebasin.errors import UnknownName, expected

__all__ = ["parse_call", "read_value", "split_call", "write_call"]


def parse_call(text: str) -> tuple[str, dict[str, object]]:
    """Split `name(key=value, …)` into name and arguments; a plain name has none. A value with parentheses is a text,
    unless it stands in quotes.

    Raises:
        UnknownName: where the parentheses or an argument do not parse.
    """
    name, written = split_call(text)
    return name, {key: read_value(value, name) for key, value in written.items()}


def split_call(text: str) -> tuple[str, dict[str, str]]:
    """As `parse_call`, each value as it is written.

    Raises:
        UnknownName: where the parentheses or an argument do not parse.
    """
    match = re.fullmatch(r"\s*([^\s()]+)\s*(?:\((.*)\))?\s*", text, flags=re.DOTALL)
    if match is None:
        raise UnknownName(expected("name", "like 'name' or 'name(key=value)'", text, "Mend the parentheses."))
    written: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in _split(match[2] or "", text))):
        key, equals, value = part.partition("=")
        if not equals or not key.strip().isidentifier():
            raise UnknownName(expected(f"argument of {match[1]!r}", "key=value", part, "Write it as key=value."))
        written[key.strip()] = value.strip()
    return match[1], written


def read_value(written: str, name: str) -> object:
    """The YAML scalar that a value says; one with parentheses that stands in no quotes, a call itself, is a text.

    Args:
        written: the value.
        name: of what is called, for messages.

    Raises:
        UnknownName: where it is no YAML.
    """
    from safebasin.untrusted import yaml_value

    is_call = "(" in written and written[0] not in "\"'"
    return written if is_call else yaml_value(written, f"argument of {name!r}", error=UnknownName)


def write_call(name: str, arguments: Mapping[str, object]) -> str:
    """`name(key=value, …)` in the order of the arguments, without those that are None; the plain name where none is.

    By such texts verdicts, records of training and responses are known: what this writes of a value must not change.
    """
    shown = [f"{key}={_written(value)}" for key, value in arguments.items() if value is not None]
    return f"{name}({', '.join(shown)})" if shown else name


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


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
