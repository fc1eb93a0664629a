"""`claims` on the command line: subjects side by side, and what is refused before anything runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safebasin.cli import main


def run(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as stopped:
        main(["claims", *arguments])
    return stopped.value.code


def test_one_folder_cannot_hold_two_subjects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("peng2024", "--on", "guild", "--on", "real", "-o", str(tmp_path / "x")) == 2
    assert "given with one --on" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_claim_that_is_not_run_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ("peng2024", "--on", "real", "--only", "visage_orders_models", "-o", str(tmp_path / "x"))
    assert not run(*wanted)
    shown = capsys.readouterr().out
    assert "visage_orders_models: not run" in shown
    assert "because     it trains 21 variants" in shown
    assert shown.splitlines()[-2].split() == ["claim", "real"]
    assert not run(*wanted, "--json")
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["on"], row["answer"], row["estimate"]["value"]) == ("real", "not run", None)
