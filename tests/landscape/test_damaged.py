"""Databases that others wrote, or that were damaged: every verb reads them or says what is wrong; none crashes."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from helpers.command import exit_code
from safebasin import api, cli
from safebasin.errors import UsageError
from safebasin.store.migrations import MIGRATIONS

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


@pytest.mark.slow
def test_a_replaced_text_is_found(study: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(study, tmp_path / "study")
    assert api.verify_study(folder) == []
    with closing(sqlite3.connect(folder / "study.sqlite")) as db, db:
        db.execute("UPDATE responses SET text = 'Two pounds.' WHERE rowid = 1")
    (found,) = api.verify_study(folder)
    assert "a row of responses" in found


# --- fuzzed ----------------------------------------------------------------------------------------------------------

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT 'k' AS key, x AS value FROM n"
FOREIGN = {
    "empty": "SELECT 1",
    "other tables": "CREATE TABLE pots (name TEXT)",
    "same names": "CREATE TABLE meta (a); CREATE TABLE responses (b); INSERT INTO meta VALUES (1)",
    "migrations of another shape": "CREATE TABLE migrations (a, b); INSERT INTO migrations VALUES (1, 2)",
    "all migrations and no table": "CREATE TABLE migrations (name TEXT); INSERT INTO migrations VALUES "
    + ", ".join(f"('{step.__name__}')" for step in MIGRATIONS),
    "an endless view": f"CREATE VIEW meta AS {ENDLESS}",
    "a trigger": "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT); CREATE TRIGGER t AFTER INSERT ON meta "
    "BEGIN DELETE FROM meta; END",
    "a computed column": "CREATE TABLE meta (key TEXT, value TEXT GENERATED ALWAYS AS (hex(zeroblob(400000000))))",
}


@pytest.mark.slow
@pytest.mark.parametrize("schema", FOREIGN)
def test_a_foreign_database_is_help(tmp_path: Path, schema: str) -> None:
    with closing(sqlite3.connect(tmp_path / "study.sqlite")) as db, db:
        db.executescript(FOREIGN[schema])
    for verb in (["stats"], ["verify"], ["export", "-o", str(tmp_path / "x.csv")], ["report"], ["agreement"]):
        assert ended([verb[0], str(tmp_path), *verb[1:]]) in ((1, 2) if verb == ["verify"] else (2,)), verb


def ended(arguments: list[str]) -> int:
    """The exit code of the command line; what crashes leaves its trace in `TRACES`."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cli, "_log", lambda error: TRACES.append("".join(traceback.format_exception(error))))
        return exit_code(*arguments)


TRACES: list[str] = []
"""Of what crashed, instead of `error.log`."""


def broken_json(text: str, draw: random.Random) -> str:
    """A JSON text with one value somewhere in it replaced, dropped or doubled."""
    value = json.loads(text)
    places: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        node = waiting.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        places += [(node, key) for key in keys]
        waiting += [node[key] for key in keys]
    if not places:
        return "7"
    node, key = draw.choice(places)
    how = draw.randrange(3)
    if how == 0:
        node[key] = draw.choice(ODD_VALUES)
    elif how == 1:
        del node[key]
    elif isinstance(node, list):
        node.insert(key, node[key])
    else:
        node[f"{key}x"] = node.pop(key)
    return json.dumps(value)


ODD_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 10**30, 1e308, float("nan"), "", "x", "\ud800", "-1:1:99999", [], {}, [[]], ["x"], [0.5]),
    *("world:guild/base", "nowhere", {"kind": "random"}),
)
JSON_CELLS = {
    "meta": ("value", "key"), "points": ("recipe", "key"), "decodings": ("settings", "key"),
    "prompts": ("messages", "id"),
}  # fmt: skip


def damage_database(path: Path, sound: bytes, draw: random.Random) -> None:
    """One damage of a kind: bits, ends, cells, columns, structure of what is stored as JSON."""
    how = draw.randrange(6)
    data = bytearray(sound)
    if how == 0:
        for _ in range(draw.choice((1, 1, 8, 200))):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    elif how == 1:
        data = data[: draw.randrange(len(data))]
    path.write_bytes(data)
    if how < 2:
        return
    with closing(sqlite3.connect(path)) as db, suppress(sqlite3.Error, UnicodeDecodeError), db:
        db.execute("PRAGMA foreign_keys = OFF")
        table = draw.choice(tuple(CELLS))
        one, *others = draw.sample(CELLS[table], min(2, len(CELLS[table])))
        where = draw.choice(("", f" WHERE rowid = {draw.randrange(1, 6)}"))
        if how == 2 and others:
            db.execute(f"UPDATE {table} SET {one} = {others[0]}, {others[0]} = {one}{where}")
        elif how == 3:
            db.execute(f"UPDATE {table} SET {one} = ?{where}", (draw.choice(ODD),))
        elif how == 4:
            db.execute(draw.choice((f"DELETE FROM {table}{where}", f"DROP TABLE {table}")))
        else:
            table = draw.choice(("meta", "meta", *JSON_CELLS))
            column, key = JSON_CELLS[table]
            rows = [r for r in db.execute(f"SELECT {key}, {column} FROM {table}") if str(r[1])[:1] in "[{"]
            key_value, text = draw.choice(rows)
            db.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (broken_json(text, draw), key_value))


QUICK = (["stats"], ["verify"], ["export", "-o", "x.jsonl", "--with-text"], ["agreement"])
SLOW = (["report"], ["compare"], ["map"], ["judge", "--judge", "keyword/zou2023"], ["plan"])


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("part", range(8))
def test_no_damaged_database_crashes_the_command_line(study: Path, tmp_path: Path, part: int) -> None:
    """Eight parts of 260 databases; each is read by one of the quick verbs, and one in ten by a slow one, too."""
    sound, draw, codes = (study / "study.sqlite").read_bytes(), random.Random(part), Counter[int]()
    folder = shutil.copytree(study, tmp_path / "study")
    for example in range(FUZZED // 8):
        damage_database(folder / "study.sqlite", sound, draw)
        damaged = (folder / "study.sqlite").read_bytes()
        for verb in (draw.choice(QUICK), *([draw.choice(SLOW)] if example % 10 == 0 else [])):
            (folder / "study.sqlite").write_bytes(damaged)
            for left in folder.glob("study.sqlite-*"):
                left.unlink()
            code = ended(arguments_of(verb, folder, study, tmp_path))
            codes[code] += 1
            assert code in (0, 1, 2), (part, example, verb, TRACES[-1][-3000:])
            assert code != 1 or verb == ["verify"]
    assert codes[2] > 5, "damage that nobody sees is no test"


FUZZED = 2080


def arguments_of(verb: list[str], folder: Path, study: Path, tmp_path: Path) -> list[str]:
    name, *rest = verb
    rest = [str(tmp_path / part) if part == "x.jsonl" else part for part in rest]
    if name in ("map", "plan"):
        small = ["--limit", "4", "--directions", "1", "--range=-1.2:1.2:3", "--max-new-tokens", "24", "--device", "cpu"]
        return [name, "-o", str(folder), *small]
    if name == "compare":
        return [name, str(folder), str(study), "-o", str(tmp_path / "compared")]
    return [name, str(folder), *rest]
