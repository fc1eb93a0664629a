"""A wish to end that a run grants between two batches: what is being decoded is finished and written, then it ends.

For a scheduler that says a while before it kills (SIGTERM). Who cannot wait says it twice: the second wish is not kept.
Not the handler of the signal, nor the exception that ends a process: both are those of the command line.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TypeVar

from safebasin.errors import SafebasinError

__all__ = ["batches", "is_wished", "until_wished", "wish"]

_log = logging.getLogger(__name__)
T = TypeVar("T")
Grant = Callable[[], NoReturn]
_open = 0
_wish: Grant | None = None


def wish(grant: Grant) -> bool:
    """Keep a wish to end until the batches that are being made are written; then `grant` is called, which raises.

    Returns:
        False where nothing is made in batches, or a wish waits already: then end at once.
    """
    global _wish
    if not _open or _wish is not None:
        return False
    _wish = grant
    return True


@contextmanager
def batches() -> Generator[None]:
    """Within it, work is made and written batch by batch; a wish that came meanwhile is granted at its end.

    So it is where it ends in an error, which is told: whoever called may have gone on after it.
    """
    global _open, _wish
    _open += 1
    try:
        yield
    except Exception as error:
        if _wish is not None and _open == 1:
            # nobody hears of a defect otherwise, since the wish is granted
            is_defect = not isinstance(error, SafebasinError)
            _log.warning("the last batch ended in an error: %s", error, exc_info=is_defect)
            _wish()
        raise
    else:
        if _wish is not None:
            _wish()
    finally:
        _open -= 1
        _wish = None if not _open else _wish


def is_wished() -> bool:
    """Tell whether no more work should be begun."""
    return _wish is not None


def until_wished(tasks: Iterable[T]) -> Iterator[T]:
    """Hand out tasks until a wish to end is there."""
    for task in tasks:
        if is_wished():
            return
        yield task
