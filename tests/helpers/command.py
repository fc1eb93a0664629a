"""The command line, called in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from safebasin import cli


def exit_code(*arguments: str | Path) -> int:
    """What a command ends with; the handlers of signals stay those of the tests."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cli.signal, "signal", lambda *_: None)
        with pytest.raises(SystemExit) as stop:
            cli.main([str(argument) for argument in arguments])
    assert isinstance(stop.value.code, int)
    return stop.value.code
