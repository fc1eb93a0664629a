"""The outermost frame: a crash never ends with 1, the code of a verdict, wherever it happens. Real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["safebasin"]
MODULE, _, FUNCTION = SCRIPT.partition(":")
WAYS = {
    "module": ["-m", "safebasin"],
    "script": ["-c", f"import sys; from {MODULE} import {FUNCTION}; sys.exit({FUNCTION}())"],
}
"""`python -m safebasin`, and what an installer writes as the console script."""


def run(way: str, *arguments: str, before: Path | None = None, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command line, with a folder before everything else on the path of imports."""
    env = {**os.environ, **({} if before is None else {"PYTHONPATH": str(before)})}
    command = [sys.executable, *WAYS[way], *arguments]
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": env, **options}
    return subprocess.run(command, text=True, timeout=120, **piped)


FAULTS = {
    "ImportError": ("typer.py", "raise ImportError('broken')", 70),
    "SystemExit": ("typer.py", "raise SystemExit(1)", 70),
    "KeyboardInterrupt": ("typer.py", "raise KeyboardInterrupt", 130),
    "MemoryError": ("typer.py", "raise MemoryError", 70),
    "syntax": ("typer.py", "no Python", 70),
    "standard library": ("signal.py", "raise BaseException('odd')", 70),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", ["ImportError", *(pytest.param(f, marks=pytest.mark.slow) for f in list(FAULTS)[1:])])
def test_what_fails_while_modules_are_imported(tmp_path: Path, way: str, fault: str) -> None:
    name, source, code = FAULTS[fault]
    (tmp_path / name).write_text(source)
    done = run(way, "--version", before=tmp_path)
    assert done.returncode == code, done.stderr


LATE = {
    "atexit": "import atexit; atexit.register(lambda: 1 / 0)",
    "thread": "import threading; threading.Thread(target=lambda: 1 / 0).start()",
    "exit": "import sys\ndef broken(code):\n    raise ValueError\nsys.exit = broken",
    "signal": "import sys, os, signal\ndef late(code):\n    os.kill(os.getpid(), signal.SIGTERM)\nsys.exit = late",
    "hook": "import sys\nsys.__excepthook__ = None\ndef broken(code):\n    raise ValueError\nsys.exit = broken",
}


@pytest.mark.parametrize("fault", ["exit", *(pytest.param(f, marks=pytest.mark.slow) for f in LATE if f != "exit")])
def test_what_fails_when_all_is_done(tmp_path: Path, fault: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(LATE[fault])
    done = run("module", "--version", before=tmp_path)
    assert done.returncode in ((0,) if fault in ("atexit", "thread") else (70, 143)), done.stderr


@pytest.mark.parametrize(
    ("closed", "code"),
    [((1,), 0), *(pytest.param(c, 0, marks=pytest.mark.slow) for c in ((0,), (2,), (0, 1, 2)))],
)
def test_closed_streams_are_nobody_listening(closed: tuple[int, ...], code: int) -> None:
    done = run("module", "--version", preexec_fn=lambda: [os.close(n) for n in closed])
    assert done.returncode == code, done.stderr


@pytest.mark.slow
def test_no_file_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, os\n"
        "def said():\n"
        "    number = os.open(os.devnull, os.O_RDONLY)\n"
        f"    open({str(tmp_path / 'number')!r}, 'w').write(str(number))\n"
        "atexit.register(said)\n"
    )
    run("module", "--version", before=tmp_path, preexec_fn=lambda: [os.close(n) for n in (0, 1, 2)])
    assert int((tmp_path / "number").read_text()) > 2


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("latin-1", marks=pytest.mark.slow)])
def test_a_terminal_that_lacks_a_sign_is_no_crash(encoding: str) -> None:
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    done = run("module", "list", "direction", env=env, encoding=encoding)
    assert done.returncode == 0, done.stderr
    assert "\\u03b1" in done.stdout, "α, as an escape"


@pytest.mark.slow
@pytest.mark.parametrize("megabytes", [100, 150, 200, 300, 400])
def test_memory_that_is_short_is_no_verdict(megabytes: int) -> None:
    import resource

    limit = megabytes * 2**20
    done = run(
        "module", "verify", "/nowhere", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    )
    started = "Fatal Python error" not in done.stderr  # Python's own start is not ours
    assert not started or done.returncode != 1, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_moment_is_no_verdict(number: signal.Signals) -> None:
    codes = set()
    for wait in range(24):
        with subprocess.Popen(
            [sys.executable, "-m", "safebasin", "list"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                process.wait(wait / 20)
            except subprocess.TimeoutExpired:
                process.send_signal(number)
            _, said = process.communicate(timeout=60)
            if "__main__.py" in said or "Traceback" not in said:  # what Python itself loads before is not ours
                codes.add(process.returncode)
    assert codes <= {0, 128 + number, -number, 70}
    assert codes - {0}, "a signal that never hits is no test"
