"""Builds that take minutes: skipped while everything that they are made of is as it was when they last passed.

`make test-rebuild` runs them whatever was changed, and keeps which recipe passed.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PASSED = ROOT / "tests" / "worlds" / "passed"
"""A file for each world: the digest of the recipe whose whole build passed last."""
REBUILD = "SAFEBASIN_REBUILD"
RECIPES = {"guild": ("worlds.guild",), "pcfg": ("worlds.pcfg", "finetune")}
"""Name of a world → packages all of whose modules count: some are looked up by name, where no import shows it."""


def sources(world: str) -> list[str]:
    """The modules that a world is built by, those of its recipe and all that the build imports, sorted."""
    graph = grimp.build_graph("safebasin", cache_dir=None)
    found = graph.find_upstream_modules(f"safebasin.worlds.{world}.build")
    for package in RECIPES[world]:
        found |= {f"safebasin.{package}", *graph.find_descendants(f"safebasin.{package}")}
    return sorted(found)


def recipe_digest(world: str, root: Path = ROOT) -> str:
    """SHA-256 over the lock and the sources of a world."""
    total = hashlib.sha256((root / "constraints.txt").read_bytes())
    for module in sources(world):
        path = root / "src" / module.replace(".", "/")
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        total.update(b"\0" + module.encode() + b"\0" + file.read_bytes())
    return total.hexdigest()


def skip_if_built(world: str) -> None:
    """Skip a test that builds a world whole, unless its recipe was changed since it passed, or it is asked for."""
    digest = recipe_digest(world)
    if not os.environ.get(REBUILD) and (PASSED / f"{world}.sha256").read_text().strip() == digest:
        pytest.skip(f"it passed with this recipe, {digest[:12]}; {REBUILD}=1 builds it again")


def keep_built(world: str) -> None:
    """Keep that the whole build of a world has passed, where it was asked for."""
    if os.environ.get(REBUILD):
        (PASSED / f"{world}.sha256").write_text(f"{recipe_digest(world)}\n")
