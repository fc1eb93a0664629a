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


@pytest.mark.parametrize(
    "targets", [("a.yaml", "b.yaml"), ("a.yaml", "world:guild/base"), ("world:guild/base", "a.yml")]
)
def test_a_study_file_beside_another_target_is_told_by_itself(tmp_path: Path, targets: tuple[str, str]) -> None:
    for name in targets:
        if not name.startswith("world:"):
            (tmp_path / name).write_text("model: world:guild/aligned\n")
    given = [name if name.startswith("world:") else str(tmp_path / name) for name in targets]
    ended = safebasin("map", *given, "-o", tmp_path / "out")
    assert ended.returncode == 2
    assert "a study file must be the only argument" in ended.stderr
    assert not (tmp_path / "out").exists()
