"""A folder of results: whatever was changed since they were written is found, and what is no change is not."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.command import safebasin
from helpers.packs import change, publish, small_study
from safebasin import api
from safebasin.errors import StoreError
from safebasin.evidence.checking import Asked, verify_folder
from safebasin.evidence.recomputing import differences
from safebasin.records import Verdict
from safebasin.store.db import StudyStore
from safebasin.store.digests import EVERY
from safebasin.store.sealing import read_seal, row_digests, seal

COLUMNS = "key, point, prompt, system, decoding, sample, text, thinking, n_tokens, finish_reason, broken, gap"
REPLACED = (
    f"UPDATE responses SET text = 'A', digest = content_digest({COLUMNS.replace('text', chr(39) + 'A' + chr(39))})"
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_study(tmp_path_factory.mktemp("study") / "study")


@pytest.fixture
def folder(study: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(study, tmp_path / "study"))


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_folder_that_nobody_changed_is_sound(folder: Path) -> None:
    assert verify_folder(folder, Asked(recompute=True, note=pytest.fail)) == []


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (REPLACED,
         "study.sqlite: rows of responses are not those"),
        ("UPDATE responses SET text = 'Another.', digest = NULL", "study.sqlite: rows of responses are not those"),
        ("UPDATE responses SET finish_reason = 'length', digest = NULL", "rows of responses are not those"),
        ("UPDATE prompts SET label = 'benign', digest = NULL", "rows of prompts are not those"),
        ("UPDATE scores SET nll = ends, digest = NULL", "rows of scores are not those"),
        ("DELETE FROM scores", "21 then and 0 now"),
        ("UPDATE meta SET value = 'other', digest = NULL WHERE key = 'model'", "rows of meta are not those"),
        ("UPDATE prompts SET messages = '[]', digest = NULL", "has no messages"),
    ],
)  # fmt: skip
def test_rows_that_were_replaced_with_their_digests_are_found(folder: Path, statement: str, said: str) -> None:
    change(folder / "study.sqlite", statement)
    found = verify_folder(folder, Asked())
    assert any(said in what for what in found), found


def test_files_that_were_changed_or_taken_away_are_found(folder: Path) -> None:
    edit(folder / "manifest.json", batch_size=64)
    (folder / "landscape.json").unlink()
    found = verify_folder(folder, Asked())
    assert "manifest.json is not what was written with the results" in found
    assert "landscape.json is missing" in found


def test_the_list_itself_is_held_against_its_root(folder: Path) -> None:
    edit(folder / "digests.json", version="9")
    (found,) = verify_folder(folder, Asked())
    assert "digests.json of study must be of root" in found
    (folder / "digests.json").write_text("{")
    assert "valid JSON" in verify_folder(folder, Asked())[0]


def test_where_rows_lie_in_the_file_does_not_matter(folder: Path) -> None:
    before = row_digests(folder)
    with closing(sqlite3.connect(folder / "study.sqlite")) as db:
        db.execute("CREATE TABLE turned AS SELECT * FROM scores ORDER BY response DESC")
        db.execute("DELETE FROM scores")
        db.execute("INSERT INTO scores SELECT * FROM turned")
        db.execute("DROP TABLE turned")
        db.commit()
        db.execute("VACUUM")
    assert row_digests(folder) == before
    assert verify_folder(folder, Asked(note=pytest.fail)) == []


def test_a_further_judge_changes_nothing_of_what_was_there(folder: Path) -> None:
    with StudyStore.open(folder) as store:
        first = next(iter(store.responses()))
        store.put_verdicts([Verdict(response=first.key, judge="j", version="1", label="refusal", success=False)])
    notes: list[str] = []
    assert verify_folder(folder, Asked(note=notes.append)) == []
    assert notes == ["study.sqlite: verdicts j@1 came after the results"]


def test_a_folder_of_an_older_release_is_said_to_have_no_list(folder: Path) -> None:
    (folder / "digests.json").unlink()
    notes: list[str] = []
    assert verify_folder(folder, Asked(note=notes.append)) == []
    assert "there is no digests.json" in notes[0]


def test_rows_older_than_digests_are_counted_for_good(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "study.sqlite")) as db, db:
        for table in EVERY:
            db.execute(f"UPDATE {table} SET digest = NULL")
        db.execute("DELETE FROM migrations WHERE name LIKE '%digests%'")
    with StudyStore.open(folder) as store, store.transaction():
        pass
    seal(folder)
    notes: list[str] = []
    assert verify_folder(folder, Asked(note=notes.append)) == []
    (said,) = notes
    assert re.fullmatch(r"\d{2,} rows are older than digests: .* vouch for them from then on", said)


def test_files_of_the_user_are_left_alone(folder: Path) -> None:
    (folder / "my-notes.txt").write_text("notes")
    assert verify_folder(folder, Asked(note=pytest.fail)) == []
    root = seal(folder)
    assert root == read_seal(folder).root == api.results_root(folder)
    assert "my-notes.txt" not in read_seal(folder).files


def test_a_statistic_that_the_rows_do_not_give_is_found_by_recomputing(folder: Path) -> None:
    held: dict[str, Any] = json.loads((folder / "landscape.json").read_text())
    held["summary"]["radius"]["value"] = 1.5
    (folder / "landscape.json").write_text(json.dumps(held))
    seal(folder)
    assert verify_folder(folder, Asked(note=pytest.fail)) == []
    (found,) = verify_folder(folder, Asked(recompute=True, note=pytest.fail))
    assert found.startswith("landscape.json: summary.radius.value is 1.5, the rows give")
    done = safebasin("verify", folder, "--recompute")
    assert done.returncode == 1
    assert safebasin("verify", folder).returncode == 0


def test_differences_are_named_by_their_place() -> None:
    held = {"a": [1, {"b": 0.1}], "c": None, "d": "x", "f": True}
    assert list(differences(held, {"a": [1, {"b": 0.1 + 1e-17}], "c": None, "d": "x", "f": True})) == []
    now = {"a": [1, {"b": 0.2}, 3], "c": 0, "d": "x", "e": 1, "f": 1}
    assert list(differences(held, now)) == [
        "a has 2 entries, the rows give 3",
        "a[1].b is 0.1, the rows give 0.2",
        "c is null, the rows give 0",
        "e is not there",
        "f is true, the rows give 1",
    ]


def test_what_is_no_folder_of_results_is_help(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="folder must be a folder that a command wrote results to"):
        verify_folder(tmp_path, Asked())
    done = safebasin("verify", tmp_path, "--signer", "me")
    assert (done.returncode, "--signer must be left out for a folder" in done.stderr) == (2, True)


def compared(folder: Path, study: Path) -> Path:
    """What `map A B -o FOLDER` leaves, of two studies that differ in verdicts."""
    for name, turned in (("weak", 1), ("strong", 0)):
        inner = Path(shutil.copytree(study, folder / "models" / name))
        if turned:
            change(inner / "study.sqlite", "UPDATE verdicts SET success = 1, digest = NULL")
            api.read_study(inner)
        publish(inner)
    api.compare_studies([folder / "models" / "weak", folder / "models" / "strong"], out=folder)
    return folder


@pytest.mark.slow
def test_a_comparison_with_its_studies_is_derived_anew(study: Path, tmp_path: Path) -> None:
    folder = compared(tmp_path / "two", study)
    derived, notes = list[str](), list[str]()
    asked = Asked(recompute=True, note=notes.append, derived=derived.append)
    assert verify_folder(folder, replace(asked, model=False)) == []
    assert derived == ["models/strong/landscape.json", "models/weak/landscape.json", "comparison.json"]
    held = json.loads((folder / "comparison.json").read_text())
    assert held["ranking"]["order"] == ["strong", "weak"]
    held["ranking"]["order"].reverse()
    (folder / "comparison.json").write_text(json.dumps(held))
    seal(folder)
    assert any("ranking.order[0]" in what for what in verify_folder(folder, replace(asked, model=False)))
    held["models"] = {"../../elsewhere": "m", "weak": "m"}  # as of a stranger
    (folder / "comparison.json").write_text(json.dumps(held))
    seal(folder)
    notes.clear()
    assert verify_folder(folder, replace(asked, model=False)) == []
    assert "not derived anew: comparison.json, since its rows are not in this folder" in notes


@pytest.mark.parametrize(("kind", "document"), [("screen", "screen.json"), ("claims", "claims.json")])
def test_what_keeps_no_rows_says_that_nothing_was_derived(kind: str, document: str, tmp_path: Path) -> None:
    (tmp_path / kind).mkdir()
    (tmp_path / kind / document).write_text("{}")
    seal(tmp_path / kind)
    derived, notes = list[str](), list[str]()
    asked = Asked(recompute=True, note=notes.append, derived=derived.append)
    assert verify_folder(tmp_path / kind, asked) == derived == []
    assert notes[0].startswith(f"not derived anew: {'what claims says' if kind == 'claims' else document}")


def test_a_model_is_held_against_its_list_and_refused_without(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "point"
    api.export_model(study, out=out, at={"alpha": 0.25})
    assert verify_folder(out, Asked(note=pytest.fail)) == []
    record = json.loads((out / "safebasin.json").read_text())
    (out / "safebasin.json").write_text(json.dumps({**record, "unsafe": not record["unsafe"]}))
    assert verify_folder(out, Asked()) == ["safebasin.json is not what was written with the results"]
    (out / "digests.json").unlink()
    with pytest.raises(StoreError, match=r"one with digests.json; got .* a tuned model without it"):
        verify_folder(out, Asked())
