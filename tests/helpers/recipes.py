"""Builds that take minutes: skipped while everything that they are made of is as it was when they last passed.

`make test-rebuild` runs them whatever was changed, and keeps which recipe passed.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PASSED = ROOT / "tests" / "worlds" / "passed"
"""A file for each world: the digest of the recipe whose whole build passed last."""
REBUILD = "SAFEBASIN_REBUILD"
RECIPES = {
    "guild": (("worlds/guild", "worlds/loop.py"), ("torch", "transformers", "tokenizers")),
    "pcfg": (
        ("worlds/pcfg", "worlds/loop.py", "finetune"),
        ("torch", "transformers", "tokenizers", "trl", "accelerate", "datasets"),
    ),
}
"""Name of a world → sources under `src/safebasin`, and packages of the lock."""


def recipe_digest(world: str, root: Path = ROOT) -> str:
    """SHA-256 over the sources of a recipe and the versions of what it is built with."""
    sources, packages = RECIPES[world]
    lines = (root / "constraints.txt").read_text().splitlines()
    locked = dict(line.split()[0].split("==") for line in lines if "==" in line)
    total = hashlib.sha256(repr([(name, locked[name]) for name in packages]).encode())
    for source in (root / "src" / "safebasin" / name for name in sources):
        for file in sorted(source.rglob("*.py")) if source.is_dir() else [source]:
            total.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
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
