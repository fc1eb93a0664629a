"""One argument or several: the one place where what a caller gives for a list becomes one. A string is one item."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TypeVar, cast

__all__ = ["items"]

_T = TypeVar("_T")


def items(given: _T | Iterable[_T] | None) -> tuple[_T, ...]:
    """Make a tuple of what was given: a string, a path, a mapping or any other single thing is one item, None is none.

    Without it a string would be taken for the sequence of its letters, and a mapping for that of its keys.
    """
    if given is None:
        return ()
    is_several = isinstance(given, (Collection, Iterator)) and not isinstance(given, (str, bytes, Mapping))
    return tuple(cast("Iterable[_T]", given)) if is_several else (cast("_T", given),)
