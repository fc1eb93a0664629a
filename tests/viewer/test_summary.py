"""The lines of the list: an audit that is being made says how far its studies are."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

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


def test_a_running_part_without_a_heartbeat_leaves_nothing_open(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(tree / "plain", tree / "audit" / "line")
    monkeypatch.setattr(
        "safebasin.viewer.summary.state_of", lambda path: "running" if path.name == "line" else "unknown"
    )
    assert line_of(tree, "audit").said == "pass · line: running"


def test_an_audit_names_both_models(tree: Path) -> None:
    document = {"decision": "fail", "base": {"model": "org/base"}, "tuned": {"model": "runs/tuned"}}
    (tree / "audit" / "verdict.json").write_text(json.dumps(document))
    assert line_of(tree, "audit").model == "org/base → runs/tuned"


def test_a_finished_sweep_is_complete_and_called_one(tree: Path) -> None:
    for name in ("landscape.json", "report.html"):
        (tree / "plain" / name).unlink(missing_ok=True)
    assert line_of(tree, "plain").state == "incomplete"
    table = {"prompts": "harmful", "judge": "refusal", "is_benign": False, "models": [{"name": "a", "told": "higher"}]}
    (tree / "plain" / "models.json").write_text(json.dumps({"base": "org/base", "tables": [table]}))
    (tree / "plain" / "models.html").write_text("<!DOCTYPE html>")
    line = line_of(tree, "plain")
    assert (line.kind, line.state) == ("sweep", "complete")
    assert "1 is above its ASR (a)" in line.said
