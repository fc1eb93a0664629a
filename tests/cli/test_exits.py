"""No crash ends with 1, which is the code of a verdict; and nothing that others wrote steers a terminal."""

from __future__ import annotations

import ast
import errno
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import typer

from safebasin import cli
from safebasin.cli import output
from safebasin.errors import NotDecidable, StudyError

CLI = Path(cli.__file__).parent
HOSTILE = "a\x1b]0;owned\x07\u202eb\x9b2J"


def ended(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    """The exit code where the verb raises this."""

    def broken(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "app", broken)
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as stop:
        cli.main([])
    assert isinstance(stop.value.code, int)
    return stop.value.code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError(HOSTILE), 70),
        (MemoryError(), 2),
        (RecursionError(), 70),
        (SystemExit(1), 70),
        (SystemExit(0), 70),
        (GeneratorExit(), 70),
        (BaseException("odd"), 70),
        (OSError(errno.EIO, "input/output error"), 70),
        (KeyboardInterrupt(), 130),
        (typer.Abort(), 130),
        (cli._Stopped(15), 143),
        (typer.Exit(1), 1),
        (typer.Exit(0), 0),
        (StudyError("study must hold together; got none. Mend it."), 2),
        (NotDecidable("too few"), 3),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300), 2),
        (OSError(errno.ENOSPC, "No space left on device"), 2),
        (PermissionError(errno.EACCES, "Permission denied", HOSTILE), 2),
    ],
)
def test_every_way_to_end_has_its_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], error: BaseException, code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ended(monkeypatch, error) == code
    said = capsys.readouterr().err
    assert not set(said) & set("\x1b\x07\u202e\x9b")
    assert "\x1b" not in "".join(path.read_text() for path in tmp_path.iterdir())


FAULTS = ["_log", "_say", "_told", "note", "stderr", "format_exception", "cwd"]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("error", [ValueError("defect"), StudyError("study must hold"), MemoryError(), SystemExit(1)])
def test_what_fails_while_an_error_is_told_cannot_end_with_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: str, error: BaseException
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device") if fault == "cwd" else RuntimeError("again")

    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patched:
        if fault == "stderr":
            patched.setattr(sys, "stderr", None)
        elif fault == "format_exception":
            patched.setattr(cli.traceback, "format_exception", broken)
        elif fault == "cwd":
            patched.setattr(cli.Path, "cwd", broken)
        else:
            patched.setattr(cli, fault, broken)
        assert ended(patched, error) in (2, 70)


@pytest.mark.slow
@pytest.mark.parametrize(("output", "code"), [("/dev/full", 2), (None, 141)])
def test_results_that_cannot_be_written_are_no_success(output: str | None, code: int) -> None:
    command = [sys.executable, "-m", "safebasin", "--version"]
    if output is None:
        reader, writer = os.pipe()
        os.close(reader)
    else:
        writer = os.open(output, os.O_WRONLY)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert (done.returncode, "Traceback" in done.stderr, "ignored" in done.stderr) == (code, False, False)


@pytest.mark.parametrize(
    "arguments",
    [
        ["map", "-o", "x" * 300],
        ["stats", "x" * 300],
        ["verify", "x" * 300],
        ["judge", "x" * 300],
        ["report", "x" * 300],
        ["compare", "x" * 300, "y" * 300],
        ["export", "x" * 300, "-o", "y"],
        ["map", "x" * 300 + ".yaml"],
        ["audit", "world:guild/aligned", "world:guild/aligned", "--policy", "x" * 300],
        ["audit", "world:guild/aligned", "world:guild/aligned", "-o", "x" * 300],
        ["map", "--directions", "9" * 20],
        ["map", "--range=-1:1:99999999"],
        ["map", "--range=0:1:1e9"],
        ["map", "--axis", "random@-1:1:90000", "--axis", "random@-1:1:90000"],
        ["map", "--only", "x" * 1_000_000],
        pytest.param(
            ["plan", "--prompts", "many.jsonl", "--limit", "20000", "--range=-1:1:1001", "--directions", "1"],
            marks=pytest.mark.slow,
        ),
        ["plan", "--each", "block", "--directions", "900", "--range=-1:1:101", "--limit", "1000"],
        ["finetune", "world:guild/aligned", "--attack", "benign", "--sweep", "seed=" + "1," * 5_000 + "1", "-o", "f"],
        ["world", "build", "--seed", "9" * 20],
        ["compare", *["x"] * 101, "-o", "y"],
        ["claims", "peng2024", "--seed", "9" * 20],
        ["map", "--max-new-tokens", "9" * 30],
        ["map", "--system", "@/dev/zero"],
        ["map", "--prompts", "/dev/zero"],
    ],
    ids=lambda a: " ".join(a)[:40],
)
def test_arguments_that_cannot_be_met_end_with_2(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if "many.jsonl" in arguments:
        (tmp_path / "many.jsonl").write_text("".join(f'{{"prompt": "p{i}"}}\n' for i in range(20_000)))
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert (stop.value.code, len(capsys.readouterr().err.splitlines())) == (2, 1)


# --- the door --------------------------------------------------------------------------------------------------------

WAYS = {"echo", "secho", "print", "print_exception", "print_exc", "write", "writelines", "rprint"}


def around_the_door(source: str) -> list[str]:
    """Calls that print without `say`, `note` or `print_json`."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    names = [(c, c.func.attr if isinstance(c.func, ast.Attribute) else getattr(c.func, "id", "")) for c in calls]
    return [ast.unparse(call) for call, name in names if name in WAYS]


def test_nothing_prints_around_the_door() -> None:
    found = {path.name: around_the_door(path.read_text()) for path in CLI.glob("*.py") if path.name != "output.py"}
    assert {name: calls for name, calls in found.items() if calls} == {}
    for call in around_the_door((CLI / "output.py").read_text()):
        literal = call in ("sys.stderr.write('\\n')",)
        assert literal or "plain(" in call or "json.dumps(" in call or "{line}" in call, call


@pytest.mark.parametrize("way", ["typer.echo(x)", "print(x)", "sys.stdout.write(x)", "traceback.print_exception(x)"])
def test_a_way_around_the_door_is_found(way: str) -> None:
    assert around_the_door(way) == [way]


def test_nothing_outside_of_the_command_line_prints() -> None:
    package = CLI.parent
    printing = [p for p in package.rglob("*.py") if "cli" not in p.parts and "print(" in p.read_text()]
    calls = {p.name: [c for c in around_the_door(p.read_text()) if c.startswith("print(")] for p in printing}
    assert {name: found for name, found in calls.items() if found} == {}


def test_what_passes_the_door_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    output.say(HOSTILE)
    output.note(HOSTILE)
    output.print_json({HOSTILE: "\x7f"})
    shown = capsys.readouterr()
    assert not set(shown.out + shown.err) & set("\x1b\x07\u202e\x9b\x7f")


def test_warnings_and_logs_pass_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    assert logging.lastResort is not None
    monkeypatch.setattr(logging.lastResort, "formatter", None)
    output.guard_streams()
    record = logging.LogRecord("n", logging.WARNING, "", 1, "file %s", (HOSTILE,), None)
    said = logging.lastResort.format(record) + warnings.formatwarning(HOSTILE, UserWarning, "", 1)
    assert not set(said) & set("\x1b\x07\u202e\x9b")
