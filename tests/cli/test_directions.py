"""Directions that are too few for an interval: said before anything is measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.command import safebasin


@pytest.mark.parametrize(("directions", "warned"), [(1, False), (2, True), (3, False)])
def test_two_directions_are_said_to_have_no_interval(tmp_path: Path, directions: int, warned: bool) -> None:
    (tmp_path / "none.txt").touch()
    done = safebasin("map", "--directions", str(directions), "--prompts", tmp_path / "none.txt", "-o", tmp_path / "out")
    assert done.returncode == 2
    assert ("2 directions of 'random' have no interval" in done.stderr) is warned
