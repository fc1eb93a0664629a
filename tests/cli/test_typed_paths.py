"""A path with a typo is said before anything else is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.command import safebasin


@pytest.mark.parametrize(
    "command",
    [("map", "./typo"), ("map", "world:guild/aligned", "./typo"), ("audit", "./typo", "world:guild/base")],
    ids=" ".join,
)
def test_a_folder_that_is_not_there_is_said_before_its_prompts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    done = safebasin(*command, "-o", tmp_path / "out")
    assert done.returncode == 2
    assert "model must be an existing folder or GGUF file (nothing there); got './typo'" in done.stderr


def test_one_that_is_there_is_asked_for_its_prompts(tmp_path: Path) -> None:
    done = safebasin("map", tmp_path, "-o", tmp_path / "out")
    assert "prompts must be given for a model that is not of an embedded world; got nothing" in done.stderr
