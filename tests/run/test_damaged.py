"""Databases that others wrote, or that were damaged: every verb reads them or says what is wrong; none crashes."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from safebasin import api
from safebasin.errors import UsageError

CELLS = {
    "prompts": ("messages", "category", "batch", "label"),
    "responses": ("text", "n_tokens", "finish_reason", "gap", "point", "broken"),
    "scores": ("nll", "ends"),
    "verdicts": ("label", "success", "grade", "reason"),
    "meta": ("value",),
    "decodings": ("settings",),
    "points": ("recipe",),
    "systems": ("text", "name"),
}
ODD = ("x", b"\xff\xfe", b"", -1, 2.5, None, "[]", "{}", "[" * 100_000, "1e999")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damaged") / "study"
    options = {"limit": 4, "directions": 1, "range": "-1.2:1.2:3", "max_new_tokens": 24, "device": "cpu"}
    api.map_basin("world:guild/aligned", out=folder, **options)
    return folder


def read_everything(folder: Path) -> list[str]:
    """What `verify` finds; every other reader may refuse, and only that."""
    readers: tuple[Callable[[], object], ...] = (
        lambda: api.read_study(folder),
        lambda: api.export_study(folder, folder / "o.jsonl", format="jsonl", with_text=True),
        lambda: api.agreement(folder),
    )
    for reader in readers:
        with suppress(UsageError):
            reader()
    try:
        return api.verify_study(folder)
    except UsageError as error:
        return [str(error)]


@pytest.mark.slow
@pytest.mark.parametrize("table", CELLS)
def test_any_value_in_any_cell_is_read_or_refused(study: Path, tmp_path: Path, table: str) -> None:
    for i, (column, value) in enumerate((column, value) for column in CELLS[table] for value in ODD):
        folder = shutil.copytree(study, tmp_path / str(i))
        with closing(sqlite3.connect(folder / "study.sqlite")) as db, suppress(sqlite3.Error), db:
            db.execute(f"UPDATE {table} SET {column} = ?", (value,))
        read_everything(folder)


@pytest.mark.slow
def test_any_flipped_bit_is_read_or_refused(study: Path, tmp_path: Path) -> None:
    sound, draw, found = (study / "study.sqlite").read_bytes(), random.Random(0), 0
    folder = shutil.copytree(study, tmp_path / "study")
    for _ in range(100):
        damaged = bytearray(sound)
        for _ in range(draw.choice((1, 1, 8))):
            damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
        (folder / "study.sqlite").write_bytes(damaged)
        found += bool(read_everything(folder))
    assert found > 15, "damage that nobody sees is no test"


def test_a_replaced_text_is_found(study: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(study, tmp_path / "study")
    assert api.verify_study(folder) == []
    with closing(sqlite3.connect(folder / "study.sqlite")) as db, db:
        db.execute("UPDATE responses SET text = 'Two pounds.' WHERE rowid = 1")
    (found,) = api.verify_study(folder)
    assert "a row of responses" in found
