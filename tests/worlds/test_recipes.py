"""What a whole build is made of: any change of it is noticed, so that the build is tested again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from helpers import recipes


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copy(recipes.ROOT / "constraints.txt", tmp_path)
    source = recipes.ROOT / "src" / "safebasin"
    for file in source.rglob("*.py"):
        target = tmp_path / "src" / "safebasin" / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    return tmp_path


@pytest.mark.parametrize(
    ("world", "further"),
    [("guild", "models/writing.py"), ("pcfg", "finetune/tune.py"), ("pcfg", "weights/adapters.py")],
)
def test_a_change_of_any_part_is_another_recipe(copy: Path, world: str, further: str) -> None:
    before = recipes.recipe_digest(world, copy)
    assert before == recipes.recipe_digest(world)
    seen, parts = {before}, ("worlds/loop.py", f"worlds/{world}/rows.py", f"worlds/{world}/world.py", further)
    for changed in (*(copy / "src" / "safebasin" / part for part in parts), copy / "constraints.txt"):
        changed.write_text(changed.read_text() + "#")
        seen.add(recipes.recipe_digest(world, copy))
    assert len(seen) == 6


def test_what_a_build_does_not_need_is_no_part_of_it(copy: Path) -> None:
    before = recipes.recipe_digest("guild", copy)
    for part in ("worlds/pcfg/rows.py", "stats/order.py"):
        (copy / "src" / "safebasin" / part).write_text("#")
    assert recipes.recipe_digest("guild", copy) == before


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
