"""A tree of stored folders for a viewer: two studies of an earlier release, documents, and what is broken."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

RELEASED = Path(__file__).parents[1] / "data" / "released"
HOSTILE = "<script>document.title='owned'</script>"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    shutil.copytree(RELEASED / "plain", folder / "plain")
    shutil.copytree(RELEASED / "target", folder / "more" / "target")
    (folder / "plain" / "figures").mkdir()
    (folder / "plain" / "figures" / "asr.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "audit").mkdir()
    (folder / "audit" / "verdict.json").write_text(json.dumps({"decision": "pass", "base": {"model": HOSTILE}}))
    (folder / "audit" / "report.html").write_text(f"<!DOCTYPE html><title>An audit</title>{HOSTILE}")
    (folder / "claims").mkdir()
    claim = {"name": "basin_exists", "answer": "reproduced", "hypothesis": HOSTILE, "source": "a paper",
             "finding": {"estimate": {"value": 0.25, "low": 0.2, "high": 0.3}}}  # fmt: skip
    (folder / "claims" / "claims.json").write_text(json.dumps({"paper": "peng2024", "claims": [claim]}))
    return folder
