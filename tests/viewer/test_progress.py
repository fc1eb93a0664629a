"""How far a study is: by its rows, by its heartbeat, by the process that holds it."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from safebasin.viewer.progress import read_progress


def test_a_study_that_is_whole(tree: Path) -> None:
    found = read_progress(tree / "plain")
    assert (found.state, found.missing, found.heartbeat) == ("complete", (), "")
    assert found.done == found.planned > 0


def test_what_is_missing_is_said(tree: Path) -> None:
    with closing(sqlite3.connect(tree / "plain" / "study.sqlite")) as db, db:
        (n,) = db.execute("SELECT count(*) FROM responses WHERE point = 'origin'").fetchone()
        db.execute("DELETE FROM responses WHERE point = 'origin'")
    found = read_progress(tree / "plain")
    assert found.state == "incomplete"
    assert found.missing == (f"{n} responses to be asked for",)
    assert 0 < found.share < 1


def test_the_process_that_writes_is_looked_for(tree: Path) -> None:
    writer = tree / "plain" / ".writer.json"
    writer.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
    assert read_progress(tree / "plain").state == "running"
    writer.write_text(json.dumps({"pid": 2**31 - 1, "host": socket.gethostname()}))
    assert read_progress(tree / "plain").state == "complete"


def test_a_heartbeat_of_another_machine(tree: Path) -> None:
    beat = tree / "plain" / "heartbeat.json"
    said = {"pid": 7, "state": "generate", "done": 8, "planned": 9, "tokens_per_s": 5120.4}
    beat.write_text(json.dumps({**said, "time": time.time()}))
    found = read_progress(tree / "plain")
    assert found.state == "running"
    assert found.heartbeat == "generate · 8 of 9 · 5,120 tokens/s · heartbeat 0 s ago · process 7"
    beat.write_text(json.dumps({**said, "time": "2020-01-01T00:00:00+00:00"}))
    assert read_progress(tree / "plain").state == "complete"


def test_a_heartbeat_that_is_damaged_is_none(tree: Path) -> None:
    for text in ("", "[1]", '{"time": 1e999, "done": "x"}', '{"time": ["a"], "tokens_per_s": "fast"}', "{" * 500):
        (tree / "plain" / "heartbeat.json").write_text(text)
        assert read_progress(tree / "plain").state == "complete"
