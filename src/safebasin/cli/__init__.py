"""The command line: parsing and printing only. Every verb calls one function of `safebasin.api`.

Exit codes: 0 done, or `audit` passed · 1 `audit` failed, or `verify` found damage · 2 usage or bad input ·
3 not decidable · 70 internal error · 130 interrupted (Ctrl-C) · 141 nobody reads the output · 143 terminated.
A run that was interrupted goes on with the same command.

    agreement    `agreement`: how the judges of a study agree, with one another and with human labels
    app          the Typer application and the little that verbs share
    asking       what a verb wants to hear before it runs for very long
    auditing     `audit`: before and after, with a gate
    catalogue    `list` and `show`: the catalogue
    certifying   `certify`: what Gaussian noise on the weights certifies, and how far a tuned model moved
    defending    `defenses`: one attack under each of several defenses, compared
    editing      `edit`, `attribute`: one model of another
    environment  `doctor`: the environment, what would fail, and how to mend it
    evidence     `verify`, `pack`: whether results are what they were, and one file of them for others
    finetuning   `finetune` and `defend`: attacks, own data, and mitigations before, during and after training
    locating     `locate-layers`: which layers tell a harmful request, as SPPFT freezes them
    mapping      `map` and `merge`: the main job, and its shards joined
    mechanism    `mechanism`: what safety training changed
    planning     `plan`: what `map` would do, and what that costs
    prefilling   `prefill`: refusal behind a forced beginning of the answer
    options      the options that `map` and `plan` share, made of the one table of a study's options
    output       what the verbs print with: stdout for results, stderr for progress; hostile text made harmless
    research     `compare`, `claims`, `worst-case`: several studies, claims of a paper, the worst direction
    screening    `screen`: a look at tuned models, which to audit first
    starting     `init`, `schema`: files to begin with, and what editors read of them
    stored       `judge`, `stats`, `report`, `export`: work on a stored study, without the model
    sweeping     `sweep`: many tuned models of one base in one study
    viewing      `view`: stored folders in the browser
    worlds       `world`: the worlds, embedded and built
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

import typer

from safebasin.cli import (
    agreement,
    auditing,
    catalogue,
    certifying,
    defending,
    editing,
    environment,
    evidence,
    finetuning,
    locating,
    mapping,
    mechanism,
    planning,
    prefilling,
    research,
    screening,
    starting,
    stored,
    sweeping,
    viewing,
    worlds,
)
from safebasin.cli.app import app, state
from safebasin.cli.output import guard_streams, note, plain
from safebasin.errors import SafebasinError, expected
from safebasin.memory import seldom_collected
from safebasin.run.ending import wish
from safebasin.untrusted import is_memory
from safebasin.writing import write_text

__all__ = ["app", "main"]

# Importing a module registers its verbs.
_VERBS = (
    mapping, planning, auditing, finetuning, defending, editing, locating, mechanism, prefilling, screening, stored,
    sweeping, agreement, research, evidence, certifying, viewing, starting, catalogue, worlds, environment,
)  # fmt: skip


# What Typer raises for a command line that does not parse; it has no public name of its own.
_UsageError: type[typer.BadParameter] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")  # pyright: ignore[reportAssignmentType]


INTERNAL = 70
_COMPLETE = "_SAFEBASIN_COMPLETE"
"""The variable by which a shell asks for completions; no verb runs then."""
_MENDABLE = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS),
        *(errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM),
    }
)
"""What an operating system says of a path or a disk that a user can mend."""


class _Stopped(BaseException):
    """SIGINT or SIGTERM, as an exception, so that locks and transactions end in order."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


def _stop(number: int, _frame: FrameType | None) -> None:
    def end() -> NoReturn:
        raise _Stopped(number)

    # a scheduler says so a while before it kills; a user at the keyboard does not want to wait
    if number != signal.SIGTERM or not wish(end):
        end()


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and end the process with the exit code of the module's docstring.

    1 is the code of a verdict, so nothing that goes wrong may end with it: whatever escapes ends with 70, also where
    saying so fails.
    """
    try:
        guard_streams()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _stop)
        with seldom_collected():  # all that torch and transformers bring is alive to the end
            code = _run(arguments)
        sys.stdout.flush()  # here, where a full disk can still be told; at the end of the process Python swallows it
    except BaseException as error:
        code = _explained(error)
    sys.exit(code)


def _run(arguments: list[str] | None) -> int:
    """The exit code of a command line that ends as it should, or with an error of its own parsing."""
    state.again = type(state).again
    try:
        code = app(args=arguments, standalone_mode=False)
    except typer.Exit as stop:
        code = stop.exit_code
    except _UsageError as error:
        _say(_unparsed(error))
        code = 2
    except SystemExit as ended:
        if not os.environ.get(_COMPLETE):
            raise
        code = ended.code  # a shell asked for completions: the library answers, and ends the process itself
    return code if isinstance(code, int) else 0


def _unparsed(error: typer.BadParameter) -> str:
    """What is wrong with a command line: of a number that is none, what came, too."""
    from pydantic import ValidationError

    from safebasin.catalog.making import constraint_in

    cause, option = error.__cause__, getattr(error, "param", None)
    if not isinstance(cause, ValidationError) or option is None:
        return error.format_message()
    first, name = cause.errors()[0], max(option.opts, key=len)
    return expected(name, constraint_in([first]), first["input"], "See --help.")


def _explained(error: BaseException) -> int:
    """Say what escaped, and give its exit code. Total: what fails while it is said is an internal error, too."""
    try:
        return _told(error)
    except BaseException:
        return INTERNAL


def _told(error: BaseException) -> int:
    if isinstance(error, (_Stopped, KeyboardInterrupt, typer.Abort)):
        _say(f"Interrupted. What was done is kept; {state.again} to go on.")
        return error.exit_code if isinstance(error, _Stopped) else 128 + signal.SIGINT
    if isinstance(error, SafebasinError):
        _say(str(error))
        return error.exit_code
    if isinstance(error, OSError):
        _drop_output()
    if isinstance(error, BrokenPipeError) or _is_pipe(error):
        return 128 + signal.SIGPIPE
    if isinstance(error, OSError) and error.errno in _MENDABLE:
        remedy = f"Mend the path or free space, then {state.again}: what was done is kept."
        _say(expected("file", "one that can be read or written", str(error), remedy))
        return 2
    if isinstance(error, MemoryError) or is_memory(error) or getattr(error, "errno", None) == errno.ENOMEM:
        said = " ".join(str(error).partition("\n")[0].split()) or "none left"
        remedy = f"Free some, or ask for less at once, then {state.again}: what was done is kept."
        _say(expected("memory", "enough for the next step", said, remedy))
        return 2
    log = _log(error)
    where = "and could not be logged" if log is None else f"traceback in {log}"
    _say(f"internal error: {type(error).__name__}: {error} ({where}; please report it)")
    return INTERNAL


def _is_pipe(error: BaseException) -> bool:
    """Whether the library that parses arguments met a closed pipe, which it makes an exit with 1 of."""
    return isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError)


def _drop_output() -> None:
    """Let what stdout still holds go nowhere, if it cannot be written: Python would try again when the process ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(message: str) -> None:
    """Say one line on stderr, if there is one."""
    with suppress(OSError, ValueError, AttributeError):
        note(f"safebasin: {' '.join(message.split())}")


def _log(error: BaseException) -> Path | None:
    """Keep the traceback in `error.log`, or show it; None where the file cannot be written."""
    text = plain("".join(traceback.format_exception(error)))
    try:
        folder = state.folder if state.folder is not None and state.folder.is_dir() else Path.cwd()
        path = folder / "error.log"
        write_text(path, text)
    except (SafebasinError, OSError, ValueError):
        note(text)
        return None
    return path
