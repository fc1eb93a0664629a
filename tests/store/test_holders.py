"""A study inside an audit of a fleet, judged by itself: the lists above stay true, and what was altered stays found."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.packs import change, small_study
from safebasin import api
from safebasin.evidence.checking import Asked, verify_folder
from safebasin.store.holders import find_holders
from safebasin.store.sealing import read_seal, seal
from safebasin.writing import DIGESTS


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """A fleet of one audit with a line, as they are written: the line without a list of its own."""
    folder = tmp_path / "fleet"
    line = small_study(folder / "models" / "a" / "line")
    (line / DIGESTS).unlink()
    for kept, document in ((line.parent, "verdict.json"), (folder, "fleet.json")):
        (kept / document).write_text("{}")
        seal(kept)
    return folder


@pytest.mark.slow
def test_a_line_that_is_judged_or_reported_leaves_its_audit_and_its_fleet_sound(fleet: Path) -> None:
    audit, before = fleet / "models" / "a", read_seal(fleet)
    assert find_holders(audit / "line") == (audit.resolve(), fleet.resolve())
    api.judge_study(audit / "line", ["keyword/zou2023"], progress=False)
    assert verify_folder(fleet, Asked(note=pytest.fail)) == []
    judged = read_seal(fleet)
    assert judged.root != before.root
    assert judged.files == before.files
    api.report_study(audit / "line", labels="de")
    assert verify_folder(fleet, Asked(note=pytest.fail)) == []
    held = read_seal(audit)
    assert (set(held.databases), set(held.folders)) == (set(), {"line"})
    assert held.files.keys() == {"verdict.json"}


@pytest.mark.slow
def test_what_was_altered_before_is_found_after(fleet: Path) -> None:
    audit = fleet / "models" / "a"
    change(audit / "line" / "study.sqlite", "UPDATE scores SET nll = nll + 1, digest = NULL")
    assert find_holders(audit / "line") == ()
    held = (audit / DIGESTS).read_bytes()
    api.judge_study(audit / "line", ["keyword/zou2023"], progress=False)
    assert (audit / DIGESTS).read_bytes() == held
    assert any("rows of scores are not those" in found for found in verify_folder(audit, Asked()))


def test_a_study_of_its_own_has_none(tmp_path: Path) -> None:
    assert find_holders(small_study(tmp_path / "study")) == ()
