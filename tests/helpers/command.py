"""The command line, called in this process."""

from __future__ import annotations

import io
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import typer

from safebasin import cli

COMMAND = typer.main.get_command(cli.app)
"""Built once: `cli.app` builds it at every call."""


def exit_code(*arguments: str | Path) -> int:
    """What a command ends with; the handlers of signals stay those of the tests."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cli.signal, "signal", lambda *_: None)
        patched.setattr(cli, "app", COMMAND)
        with pytest.raises(SystemExit) as stop:
            cli.main([str(argument) for argument in arguments])
    assert isinstance(stop.value.code, int)
    return stop.value.code


def safebasin(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Exit code and both streams of a command: what a process of its own shows, without its start."""
    with redirect_stdout(io.StringIO()) as said, redirect_stderr(io.StringIO()) as noted:
        code = exit_code(*arguments)
    return subprocess.CompletedProcess([*map(str, arguments)], code, said.getvalue(), noted.getvalue())
