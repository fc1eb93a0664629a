"""Killed at any statement, and within statements: a folder goes on. Real processes, real SIGKILL; full disks too."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from safebasin.errors import StoreError
from safebasin.records import Decoding, DirectionSpec, Message, Point, Prompt, Response, Score, System, Verdict
from safebasin.store import connection, folder
from safebasin.store.db import StudyStore
from safebasin.store.integrity import damage
from safebasin.store.migrations import MIGRATIONS

POINT = Point.at((DirectionSpec(kind="random"), 0.5))
DECODING = Decoding()
PROMPTS = [Prompt(messages=(Message(role="user", content=f"Weigh pot {i}."),), source="s") for i in range(4)]
EMPTY = {"prompts": 0, "responses": 0, "scores": 0, "verdicts": 0}
WHOLE = {"prompts": 4, "responses": 8, "scores": 8, "verdicts": 8}


def work(path: Path) -> None:
    """All that a study writes, from the folder on."""
    with StudyStore.open(folder.create(path)) as store:
        store.add_prompts([(prompt, 0) for prompt in PROMPTS])
        store.add_question(points=[Point(), POINT], systems=[System(name="default")], decoding=DECODING)
        for point in ("origin", POINT.key):
            made = [response(point, prompt) for prompt in PROMPTS]
            store.put_responses(made)
            store.put_scores([Score(response=r.key, nll=(0.5,), ends=(3,)) for r in made])
            store.put_verdicts([verdict(r, "no reply: late") for r in made])
            store.put_verdicts([verdict(r, "") for r in made])
        store.set_meta("plan", "{}")


def response(point: str, prompt: Prompt) -> Response:
    text = f"Two pounds of {prompt.text} " * 20
    return Response(
        point=point, prompt=prompt.id, system="default", decoding=DECODING.key, text=text, n_tokens=3,
        finish_reason="stop",
    )  # fmt: skip


def verdict(of: Response, reason: str) -> Verdict:
    label = "unscored" if reason else "complied"
    return Verdict(response=of.key, judge="j", version="1", label=label, success=None, reason=reason)


class Aim:
    """Counts what SQLite does in this process, and at one of these things kills it."""

    def __init__(self, at: int | None = None, *, opcodes: bool = False) -> None:
        self.count, self._at, self._opcodes = 0, at, opcodes
        self._connect = sqlite3.connect

    def __enter__(self) -> Aim:
        sqlite3.connect = self._connected
        return self

    def __exit__(self, *_: object) -> None:
        sqlite3.connect = self._connect

    def _connected(self, *args: object, **options: object) -> sqlite3.Connection:
        db = self._connect(*args, **options)
        if self._opcodes:
            db.set_progress_handler(self._hit, 1)
        else:
            db.set_trace_callback(self._hit)
        return db

    def _hit(self, _statement: str = "") -> None:
        self.count += 1
        if self.count == self._at:
            os.kill(os.getpid(), signal.SIGKILL)


def killed(at: int, path: Path, *, opcodes: bool) -> None:
    """Run `work` in a process of its own, and kill it at its n-th statement or opcode."""
    child = os.fork()
    if child == 0:
        with Aim(at, opcodes=opcodes):
            work(path)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL


def counted(path: Path, *, opcodes: bool) -> int:
    with Aim(opcodes=opcodes) as aim:
        work(path)
    return aim.count


def assert_goes_on(path: Path) -> None:
    """The same work again ends, and everything is there once."""
    work(path)
    with StudyStore.open(path) as store:
        counts = store.counts()
        assert {name: counts[name] for name in WHOLE} == WHOLE
        assert damage(store) == []
        assert {r.text[:3] for r in store.responses()} == {"Two"}
        verdicts = store.verdicts_of(r.key for r in store.responses())
        assert {v.label for found in verdicts.values() for v in found} == {"complied"}


@pytest.mark.slow
def test_a_kill_at_every_statement_of_the_making_goes_on(tmp_path: Path) -> None:
    with Aim() as aim:
        StudyStore.open(folder.create(tmp_path / "made")).close()
    assert aim.count > 20, "the schema has more statements than that"
    for at in range(1, aim.count + 1, 3):
        killed(at, tmp_path / str(at), opcodes=False)
        assert_goes_on(tmp_path / str(at))


@pytest.mark.slow
def test_two_hundred_aimed_kills_go_on(tmp_path: Path) -> None:
    statements = counted(tmp_path / "statements", opcodes=False)
    within = counted(tmp_path / "opcodes", opcodes=True)
    assert statements > 60
    aims = [(at, False) for at in range(1, statements + 1)]
    further = max(1, 200 - len(aims))
    aims += [(1 + i * (within - 1) // further, True) for i in range(further)]
    assert len(aims) >= 200
    for at, opcodes in aims:
        path = tmp_path / f"{at}-{opcodes}"
        killed(at, path, opcodes=opcodes)
        assert_goes_on(path)


# --- folders of the release that committed the schema statement by statement -----------------------------------------


def half_made(path: Path, statements: int) -> int:
    """What the first release left where it was killed before its n-th statement of the schema; returns how many."""
    folder.create(path)
    count = 0
    with closing(sqlite3.connect(path / folder.DATABASE)) as db:

        class Old:
            def execute(self, statement: str) -> sqlite3.Cursor:
                nonlocal count
                count += 1
                return db.execute(statement) if count <= statements else db.execute("SELECT 1 WHERE 0")

        db.execute("CREATE TABLE migrations (name TEXT PRIMARY KEY)")
        for step in MIGRATIONS[:1]:
            step(Old())  # type: ignore[arg-type]
        db.commit()
    return count


@pytest.mark.slow
def test_folders_that_were_left_half_made_are_healed(tmp_path: Path) -> None:
    total = half_made(tmp_path / "all", 99)
    assert total == 9
    for statements in range(total + 1):
        path = tmp_path / str(statements)
        half_made(path, statements)
        assert_goes_on(path)


def test_a_column_that_was_added_but_not_noted_is_no_error(tmp_path: Path) -> None:
    StudyStore.open(folder.create(tmp_path / "a")).close()
    with closing(sqlite3.connect(tmp_path / "a" / folder.DATABASE)) as db, db:
        db.execute("DELETE FROM migrations WHERE name > 'm002'")
    assert_goes_on(tmp_path / "a")


@pytest.mark.parametrize("leftover", [".writable", ".study.yaml.4711", "study.sqlite-journal", ".writer.json"])
def test_what_a_killed_study_left_does_not_close_its_folder(tmp_path: Path, leftover: str) -> None:
    (tmp_path / leftover).touch()
    folder.create(tmp_path)


# --- full disks ------------------------------------------------------------------------------------------------------

FULL = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_kills import work
from safebasin.errors import StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    work(Path(sys.argv[1]))
except StoreError as error:
    print(error)
    sys.exit(2)
"""


@pytest.mark.slow
@pytest.mark.parametrize("room", [0, 1_000, 4_096, 20_000, 40_000, 60_000, 70_000])
def test_a_disk_that_is_full_is_help_and_the_folder_goes_on(tmp_path: Path, room: int) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path / "a"), str(room), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (2, "")
    assert "ree space" in done.stdout or "Choose another folder" in done.stdout
    assert_goes_on(tmp_path / "a")


# --- one transaction -------------------------------------------------------------------------------------------------


def test_a_transaction_that_fails_leaves_nothing_and_the_next_one_works(tmp_path: Path) -> None:
    with StudyStore.open(tmp_path) as store:
        with pytest.raises(StoreError):
            make_half(store)
        with store.transaction() as db:
            assert db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'pots'").fetchone() == (0,)


def make_half(store: StudyStore) -> None:
    with store.transaction() as db:
        db.execute("CREATE TABLE pots (name TEXT)")
        db.execute("INSERT INTO nowhere VALUES (1)")


def test_a_step_of_the_schema_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def m999_broken(db: sqlite3.Connection) -> None:
        db.execute("CREATE TABLE half (name TEXT)")
        db.execute("no SQL")

    monkeypatch.setattr("safebasin.store.migrations.MIGRATIONS", [*MIGRATIONS, m999_broken])
    with pytest.raises(StoreError):
        StudyStore.open(tmp_path)
    with closing(connection.connect(tmp_path / folder.DATABASE)) as db:
        assert db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
