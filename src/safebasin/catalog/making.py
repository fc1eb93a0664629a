"""Calling what a row points to: its arguments are checked against the types that it declares, by Pydantic.

What a factory says of a parameter, `n: Annotated[int, Field(ge=1)]`, is checked here; it checks by hand only what its
types cannot say.
"""

from __future__ import annotations

import difflib
import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, cast, get_type_hints

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from safebasin.catalog.calls import read_value
from safebasin.catalog.row import Row
from safebasin.errors import UnknownName, UsageError, expected

__all__ = ["changed_arguments", "check_arguments", "constraint_in", "make", "unknown"]

_CALLED = ("attack", "backend", "defense", "edit", "engine", "judge")
"""Kinds whose target is a factory always; of the others an instance may stand in the catalogue as it is."""
_NOTHING: Mapping[str, str] = MappingProxyType({})


def make(row: Row, arguments: Mapping[str, object], written: Mapping[str, str] = _NOTHING) -> object:
    """Make what a row stands for: its target called with arguments, or the target itself where it is a ready instance.

    Args:
        row: of the catalogue.
        arguments: by name.
        written: each argument as the user wrote it, where it was text: what is to be a text is taken from there.

    Raises:
        UnknownName: where the target cannot be imported or called, does not take such an argument, or needs another.
        UsageError: where an argument is of another type than the target declares.
    """
    factory = _factory(row, arguments)
    return row.resolve() if factory is None else factory(**check_arguments(row, factory, arguments, written))


def changed_arguments(row: Row, arguments: Mapping[str, object], written: Mapping[str, str]) -> dict[str, object]:
    """Arguments that are not at their default, checked, in the order of the factory, for `calls.write_call`.

    A text that YAML would read as something else, or cut, stands in quotes.

    Raises:
        UnknownName, UsageError: as `make`.
    """
    factory = _factory(row, arguments)
    if factory is None:
        return {}
    given = check_arguments(row, factory, arguments, written)
    parameters = inspect.signature(factory).parameters.values()
    return {p.name: _quoted(given[p.name]) for p in parameters if p.name in given and given[p.name] != p.default}


def _quoted(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        is_plain = not set(value) & set("(),\\\"'") and read_value(value.strip(), "") == value
    except UnknownName:  # what YAML reserves, such as a pattern that begins with an asterisk
        is_plain = False
    return value if is_plain else json.dumps(value, ensure_ascii=False)


def _factory(row: Row, arguments: Mapping[str, object]) -> Callable[..., object] | None:
    """What makes the thing of a row; None where the target is the thing."""
    target = row.resolve()
    if not isinstance(target, type) and row.kind not in _CALLED and not inspect.isroutine(target):
        if arguments:
            raise UnknownName(expected(f"{row.kind} {row.name!r}", "named alone", dict(arguments), "It takes nothing."))
        return None
    if not callable(target):
        remedy = "Mend the package that provides it."
        raise UnknownName(expected(f"{row.kind} {row.name!r}", "callable", target, remedy))
    return target


def check_arguments(
    row: Row, factory: Callable[..., object], arguments: Mapping[str, object], written: Mapping[str, str] = _NOTHING
) -> dict[str, object]:
    """The arguments as the factory's types have them: of the right type, and within the bounds that it declares.

    A parameter without annotation, or with one that cannot be looked up, takes anything.

    Raises:
        UnknownName, UsageError: as `make`.
    """
    parameters, command = inspect.signature(factory).parameters, f"safebasin show {row.kind} {row.name}"
    known = [p for p in parameters if not p.startswith("_")]
    for key in arguments:
        if key not in known:
            raise UnknownName(unknown(f"argument of {row.kind} {row.name!r}", key, known, command))
    for key, parameter in parameters.items():
        is_variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if parameter.default is parameter.empty and key not in arguments and not is_variadic:
            remedy = f"Write {row.name}({key}=…): {command}."
            raise UnknownName(expected(f"argument {key!r} of {row.kind} {row.name!r}", "given", None, remedy))
    hints = _hints(factory)
    return {
        key: _checked(f"{key} of {row.name}", hints[key], value, written.get(key)) if key in hints else value
        for key, value in arguments.items()
    }


def _hints(factory: Callable[..., object]) -> dict[str, Any]:
    try:
        return get_type_hints(factory.__init__ if isinstance(factory, type) else factory, include_extras=True)
    except (NameError, TypeError):  # names that only a type checker imports
        return {}


def _checked(what: str, hint: Any, value: object, written: str | None) -> object:
    try:
        adapter: TypeAdapter[object] = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:  # a type that only its own package can check
        return value
    try:
        return adapter.validate_python(value, strict=True)
    except ValidationError as error:
        if written is not None and not isinstance(value, str):
            try:  # YAML reads a number or a truth value, where the factory takes a text
                return adapter.validate_python(written, strict=True)
            except ValidationError:
                pass
        raise UsageError(expected(what, constraint_in(error.errors()), value, "Mend it.")) from error


_TYPES = {
    **dict.fromkeys(("int_type", "int_parsing", "int_parsing_size", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    "finite_number": "finite",
    "string_type": "a text",
}
_BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}


def constraint_in(errors: Iterable[ErrorDetails]) -> str:
    """Say what an argument must be, in our words; alternatives of a union one after another."""
    return " or ".join(dict.fromkeys(_words(e) for e in errors if e["type"] != "none_required"))


def _words(error: ErrorDetails) -> str:
    if error["type"] in _BOUNDS:
        word, key = _BOUNDS[error["type"]]
        bound = cast("dict[str, float]", error.get("ctx", {}))[key]
        return f"{word} {bound:,}" if isinstance(bound, int) else f"{word} {bound:g}"
    words = re.sub(r"^(Input should|must) be ", "", error["msg"].removeprefix("Value error, "))
    return _TYPES.get(error["type"], words[:1].lower() + words[1:])


def unknown(what: str, name: str, known: Iterable[str], command: str) -> str:
    """The message for a name that is not known, with the nearest known one."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}?" if near else f"See: {command}."
    return f"{what} must be one of {', '.join(names)}; got {name!r}. {hint}"
