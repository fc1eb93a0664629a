"""The commands of the tutorial and of the cookbook, word for word, one after another in one folder."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from helpers.command import safebasin

DOCS = Path(__file__).resolve().parent.parent / "docs"
ENDS_WITH = {
    "audit world:guild/aligned runs/harmful -o runs/audit": 1,
    "audit world:guild/aligned world:guild/base -o runs/cookbook-audit": 1,
}
"""Commands whose exit code is an answer: the audit of a model that complies fails."""
NEEDS_TRAINING = re.compile(r"^(finetune|defenses|claims) |runs/harmful|runs/cookbook-attack")
LONG = re.compile(r"^(claims|defenses) ")
"""Their own tests run them."""


def commands(page: str) -> list[str]:
    """What the page tells to type, without `safebasin` and comments; models of one's own are left out."""
    blocks = re.findall(r"^```\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    typed = [line.removeprefix("safebasin ") for line in lines if line.startswith("safebasin ")]
    return [line for line in typed if "org/model" not in line]


def test_the_pages_hold_commands() -> None:
    assert len(commands("tutorial.md")) > 15
    assert len(commands("cookbook.md")) > 8


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", ["tutorial.md", "cookbook.md"])
def test_every_command_does_what_it_says(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    can_train = importlib.util.find_spec("trl") is not None
    for line in commands(page):
        if LONG.match(line) or (NEEDS_TRAINING.search(line) and not can_train):
            continue
        done = safebasin(*shlex.split(line))
        assert done.returncode == ENDS_WITH.get(line, 0), f"{line}\n{done.stderr[-2000:]}"
