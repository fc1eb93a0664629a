"""The lines of the list: an audit that is being made says how far its studies are."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

from safebasin.viewer.summary import Line, lines_of
from safebasin.viewer.tree import Root, walk


def line_of(tree: Path, name: str) -> Line:
    (line,) = (line for line in lines_of(list(walk([Root("runs", tree)]))) if line.found.path == tree / name)
    return line


def test_an_audit_runs_while_one_of_its_studies_does(tree: Path) -> None:
    shutil.copytree(tree / "plain", tree / "audit" / "line")
    assert (line_of(tree, "audit").state, line_of(tree, "audit").said) == ("unknown", "pass")
    beat = {"state": "generate", "done": 8, "planned": 9, "tokens_per_s": 10, "time": time.time()}
    (tree / "audit" / "line" / "heartbeat.json").write_text(json.dumps(beat))
    running = line_of(tree, "audit")
    assert running.state == "running"
    assert running.said == "pass · line: generate · 8 of 9 · 10 tokens/s · heartbeat 0 s ago"
    assert line_of(tree, "plain").state != "running"
    assert line_of(tree, "claims").state == "unknown"


def test_a_study_whose_database_is_gone_has_a_line_that_says_so(tree: Path) -> None:
    (tree / "plain" / "study.sqlite").rename(tree / "responses.sqlite")
    line = line_of(tree, "plain")
    assert (line.kind, line.state) == ("study", "unknown")
    assert line.problem == "study.sqlite is not there: its responses are gone"
