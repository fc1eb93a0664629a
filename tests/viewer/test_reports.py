"""The report of a study that runs: what fast judges can say is there before the run says it, and nothing is stored."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from safebasin.viewer.reports import Reports
from safebasin.viewer.tree import find, make_roots


@pytest.mark.slow
def test_curves_grow_while_a_study_runs(tree: Path) -> None:
    study = tree / "plain"
    found = find(make_roots([tree]), "runs/plain")
    assert found is not None
    whole = Reports().landscape(found).panels[0]
    with closing(sqlite3.connect(study / "study.sqlite")) as db, db:
        db.execute("DELETE FROM verdicts")
    silent = Reports().landscape(found).panels[0]
    assert {cell.asr["keyword/peng2024"].value for cell in silent.points} == {None}
    (study / ".writer.json").write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
    before = (study / "study.sqlite").read_bytes()
    running = Reports().landscape(found).panels[0]
    for mine, theirs in zip(running.points, whole.points, strict=True):
        assert mine.asr["keyword/peng2024"] == theirs.asr["keyword/peng2024"]
        assert mine.asr["outcome"].value is None
    assert (study / "study.sqlite").read_bytes() == before


def test_a_report_is_made_again_when_rows_change(tree: Path) -> None:
    found = find(make_roots([tree]), "runs/plain")
    assert found is not None
    reports = Reports()
    first = reports.page(found)
    assert reports.page(found) is not None
    assert reports.page(found) == first
    assert reports.landscape(found) is reports.landscape(found)
