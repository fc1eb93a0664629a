"""Arguments of callers: one or several, texts and paths. What is given for a list becomes one here."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar, cast

from safebasin.errors import UsageError, expected

__all__ = ["items", "path_of", "texts_of"]

_T = TypeVar("_T")


def items(given: _T | Iterable[_T] | None) -> tuple[_T, ...]:
    """Make a tuple of what was given: a string, a path, a mapping or any other single thing is one item, None is none.

    Without it a string would be taken for the sequence of its letters, and a mapping for that of its keys.
    """
    if given is None:
        return ()
    is_several = isinstance(given, (Collection, Iterator)) and not isinstance(given, (str, bytes, Mapping))
    return tuple(cast("Iterable[_T]", given)) if is_several else (cast("_T", given),)


def texts_of(given: object, what: str) -> tuple[str, ...]:
    """Make a tuple of the texts or paths that were given, one or several, as texts.

    Args:
        given: by a caller.
        what: one of them, for messages.

    Raises:
        UsageError: where one is neither.
    """
    return tuple(str(_text(one, what, "a text, or a path")) for one in items(given))


def path_of(given: object, what: str = "folder") -> Path:
    """The path that was given, as a text or a path.

    Raises:
        UsageError: where it is neither.
    """
    return Path(_text(given, what, "a path"))


def _text(given: object, what: str, constraint: str) -> str:
    path = os.fspath(given) if isinstance(given, os.PathLike) else given
    if not isinstance(path, str):
        raise UsageError(expected(what, constraint, given, "Give its name as a string."))
    return path
