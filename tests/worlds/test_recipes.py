"""What a whole build is made of: any change of it is noticed, so that the build is tested again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from helpers import recipes


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copy(recipes.ROOT / "constraints.txt", tmp_path)
    for name in {source for sources, _ in recipes.RECIPES.values() for source in sources}:
        source, target = (root / "src" / "safebasin" / name for root in (recipes.ROOT, tmp_path))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    return tmp_path


@pytest.mark.parametrize("world", recipes.RECIPES)
def test_a_change_of_any_part_is_another_recipe(copy: Path, world: str) -> None:
    before, sources = recipes.recipe_digest(world, copy), copy / "src" / "safebasin"
    assert before == recipes.recipe_digest(world)
    seen = {before}
    for changed in (sources / "worlds" / "loop.py", sources / "worlds" / world / "rows.py"):
        changed.write_text(changed.read_text() + "#")
        seen.add(recipes.recipe_digest(world, copy))
    (sources / "worlds" / world / "new.py").touch()
    seen.add(recipes.recipe_digest(world, copy))
    lock = copy / "constraints.txt"
    lock.write_text(lock.read_text().replace("torch==", "torch==9."))
    seen.add(recipes.recipe_digest(world, copy))
    assert len(seen) == 5


@pytest.mark.parametrize("world", recipes.RECIPES)
def test_a_build_is_skipped_only_while_its_recipe_is_the_one_that_passed(
    world: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(recipes.REBUILD, raising=False)
    monkeypatch.setattr(recipes, "PASSED", tmp_path)
    kept = tmp_path / f"{world}.sha256"
    kept.write_text("0" * 64)
    recipes.skip_if_built(world)
    recipes.keep_built(world)
    assert kept.read_text() == "0" * 64
    monkeypatch.setenv(recipes.REBUILD, "1")
    recipes.keep_built(world)
    recipes.skip_if_built(world)
    monkeypatch.delenv(recipes.REBUILD)
    with pytest.raises(pytest.skip.Exception, match="passed with this recipe"):
        recipes.skip_if_built(world)
