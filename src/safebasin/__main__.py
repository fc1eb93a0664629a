"""`safebasin` and `python -m safebasin`: the outermost frame. It loads nothing before it is in charge of what fails.

Python ends with 1 where an exception escapes, and 1 is the code of a verdict (`audit` failed, `verify` found damage).
So whatever escapes from here on ends with 70, or with 130 for Ctrl-C: while modules are imported, while a message is
written, and while the process ends.
"""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import NoReturn, TextIO

__all__ = ["main"]

_INTERNAL, _INTERRUPTED = 70, 130


def main() -> NoReturn:
    """Run the command line and end the process; see `safebasin.cli` for the exit codes."""
    sys.excepthook = _last_resort
    _open_streams()
    _settle()
    try:
        from safebasin import cli
    except SystemExit as error:
        raise ImportError("a module ended the process while it was imported") from error
    cli.main()


def _settle() -> None:
    """Settle threads while torch is not loaded yet; the processes of workers inherit it."""
    from safebasin.processors import settle

    settle()


def _open_streams() -> None:
    """Let closed streams lead nowhere: the next file that is opened would take their place, a database among others."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")


def _last_resort(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> NoReturn:
    """What Python calls with an exception that nobody caught; it would then end the process with 1."""
    code = _INTERRUPTED if issubclass(kind, KeyboardInterrupt) else _INTERNAL
    try:
        sys.__excepthook__(kind, error, trace)
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
