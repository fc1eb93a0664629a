"""The command line: parsing and printing only. Every verb calls one function of `safebasin.api`.

Exit codes: 0 done, or `audit` passed · 1 `audit` failed, or `verify` found damage · 2 usage or bad input ·
3 not decidable · 70 internal error · 130 interrupted (Ctrl-C) · 143 terminated.
A run that was interrupted goes on with the same command.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import NoReturn

import typer

from safebasin.cli import agreement, auditing, catalogue, environment, finetuning, mapping, research, stored, worlds
from safebasin.cli.app import app
from safebasin.errors import SafebasinError

__all__ = ["app", "main"]

# Importing a module registers its verbs.
_VERBS = (mapping, auditing, finetuning, stored, agreement, research, catalogue, worlds, environment)


# What Typer raises for a command line that does not parse; it has no public name of its own.
_UsageError: type[typer.BadParameter] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")  # pyright: ignore[reportAssignmentType]


class _Stopped(BaseException):
    """SIGINT or SIGTERM, as an exception, so that locks and transactions end in order."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    raise _Stopped(number)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and end the process with the exit code of the module's docstring."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        code = app(args=arguments, standalone_mode=False)
    except typer.Exit as stop:
        code = stop.exit_code
    except _UsageError as error:
        _say(error.format_message())
        code = 2
    except _Stopped as stopped:
        _say("Interrupted. What was measured is kept; run the same command again to go on.")
        code = stopped.exit_code
    except SafebasinError as error:
        _say(str(error))
        code = error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        log = _log(error)
        _say(f"internal error: {type(error).__name__}: {error} (traceback in {log}; please report it)")
        code = 70
    sys.exit(code or 0)


def _say(message: str) -> None:
    from safebasin.cli.output import plain

    sys.stderr.write(f"safebasin: {plain(' '.join(message.split()))}\n")


def _log(error: BaseException) -> Path:
    from safebasin.cli.app import state

    folder = state.folder if state.folder is not None and state.folder.is_dir() else Path.cwd()
    path = folder / "error.log"
    try:
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8", errors="backslashreplace")
    except OSError:
        traceback.print_exception(error, file=sys.stderr)
    return path
