"""Folders of the release before keys held resolved settings: they open, migrate once, and nothing is decoded anew."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from safebasin import api, catalog, study
from safebasin.engines.hf import HFEngine
from safebasin.errors import StoreError
from safebasin.landscape.last_plan import read_last_plan
from safebasin.protocols import EngineFacts
from safebasin.records import Decoding
from safebasin.run.verify import verify
from safebasin.store import folder as folders
from safebasin.store.connection import connect, transaction
from safebasin.store.db import StudyStore
from safebasin.store.migrations import pending
from safebasin.store.renaming import rename_decoding

RELEASED = Path(__file__).parent.parent / "data" / "released"
STUDIES = ("plain", "template", "target")


@pytest.fixture
def released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folders, where their studies find the files that they name."""
    copy = tmp_path / "released"
    shutil.copytree(RELEASED, copy)
    monkeypatch.chdir(copy)
    return copy


def no_model(_: object) -> HFEngine:
    pytest.fail("the model was loaded: something would be decoded, scored or measured anew")


def map_again(folder: Path) -> Mapping[str, Any]:
    api.map_basin(study.load(folder / folders.STUDY), out=folder)
    return json.loads((folder / folders.LANDSCAPE).read_text())


def texts(folder: Path) -> list[tuple[object, ...]]:
    db = sqlite3.connect(folder / folders.DATABASE)
    rows = db.execute(
        "SELECT point, prompt, system, text, n_tokens, nll, ends FROM responses LEFT JOIN scores ON response = key "
        "ORDER BY 1, 2, 3"
    ).fetchall()
    judged = db.execute("SELECT judge, version, label, count(*) FROM verdicts GROUP BY 1, 2, 3 ORDER BY 1, 2, 3")
    return rows + judged.fetchall()


def assert_judged_alike(after: list[tuple[object, ...]], before: list[tuple[object, ...]]) -> None:
    """What a newer version of `outcome` says, beside the verdicts that were there, is what the older said."""
    newer, older = ([row for row in after if row[0] == "outcome" and (row in before) is old] for old in (False, True))
    assert not [row for row in after if row not in before and row not in newer]
    assert {(row[2], row[3]) for row in newer} == {(row[2], row[3]) for row in older}


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.slow
def test_mapping_a_released_folder_again_decodes_nothing_and_gives_its_figures(name, released, monkeypatch):
    folder = released / name
    before, figures = texts(folder), json.loads((folder / folders.LANDSCAPE).read_text())
    monkeypatch.setattr(catalog, "open_engine", no_model)
    for _ in range(2):  # the second time there is nothing to migrate any more
        panels = zip(map_again(folder)["panels"], figures["panels"], strict=True)
        assert all({name: new[name] for name in old} == old for new, old in panels)
        after = texts(folder)
        assert [row for row in after if row in before] == before
        assert_judged_alike(after, before)
    (folder / folders.REPORT).touch()
    assert verify(folder, full=False, note=pytest.fail) == []
    with StudyStore.open(folder) as store:
        (decoding,) = store.decodings().values()
        assert decoding.dtype == "float32"
        assert store.used_decodings() == {decoding.key} == {read_last_plan(store)[0].decoding.key}
        template = dict(decoding.template_args).get("chat_template")
    assert template == ((released / "gentle.jinja").read_text() if name == "template" else None)


@pytest.mark.parametrize("name", STUDIES)
def test_a_released_folder_is_read_without_its_files(name, released, monkeypatch, tmp_path):
    folder = released / name
    monkeypatch.chdir(tmp_path)
    figures = json.loads((folder / folders.LANDSCAPE).read_text())
    assert json.loads(json.dumps([p.system for p in api.read_study(folder).panels])) == [
        panel["system"] for panel in figures["panels"]
    ]
    assert verify(folder, full=False, note=pytest.fail) == [] or name == "template"
    with connect(folder / folders.DATABASE) as db:
        assert pending(db) == []


@pytest.mark.slow
def test_a_released_folder_that_lost_rows_gets_only_those(released):
    folder = released / "template"
    before = texts(folder)
    with StudyStore.open(folder) as store, store.transaction() as db:
        lost = db.execute("SELECT key FROM responses ORDER BY key LIMIT 3").fetchall()
        for (key,) in lost:
            for table, column in (("scores", "response"), ("verdicts", "response"), ("responses", "key")):
                db.execute(f"DELETE FROM {table} WHERE {column} = ?", (key,))
    map_again(folder)
    after = texts(folder)
    assert [row[:5] for row in after] == [row[:5] for row in before], "texts and verdicts"
    assert sum(row != other for row, other in zip(after, before, strict=True)) <= 3, "no score but those that were lost"
    notes = [note for note in api.read_study(folder).notes if "versions" in note]
    assert bool(notes) == (torch.__version__ != "2.13.0+cpu"), "the build that the folder was made with"


def newer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version of transformers, as the engine tells it."""
    facts = HFEngine.facts

    def told(self: HFEngine) -> EngineFacts:
        found = facts(self)
        return replace(found, details={**found.details, "transformers": "99.1"})

    monkeypatch.setattr(HFEngine, "facts", told)


@pytest.mark.slow
def test_a_library_of_another_version_is_a_caveat_where_it_renders_alike(released, monkeypatch, caplog):
    folder = released / "plain"
    with StudyStore.open(folder) as store, store.transaction() as db:
        db.execute("DELETE FROM scores")
    newer(monkeypatch)
    map_again(folder)
    assert "transformers 5.19.0, 99.1" in caplog.text
    (note,) = [n for n in api.read_study(folder).notes if "versions of libraries" in n]
    assert "rendered alike" in note


@pytest.mark.slow
def test_a_rendering_that_changed_is_found_before_the_first_token(released, monkeypatch):
    folder = released / "plain"
    with StudyStore.open(folder) as store, store.transaction() as db:
        db.execute("DELETE FROM scores")
    map_again(folder)
    with StudyStore.open(folder) as store, store.transaction() as db:
        db.execute("DELETE FROM scores")
        count = store.counts()["responses"]
    newer(monkeypatch)
    inspect = HFEngine.inspect
    monkeypatch.setattr(HFEngine, "inspect", lambda *given: [1, *inspect(*given)])
    with pytest.raises(StoreError, match=r"must be rendered as it was .*transformers \S+, now 99\.1.*Install"):
        map_again(folder)
    monkeypatch.undo()
    monkeypatch.chdir(released)
    with StudyStore.open(folder) as store:
        assert store.counts()["responses"] == count


def test_a_template_file_that_is_another_is_refused(released):
    folder = released / "template"
    (released / "gentle.jinja").write_text("{{ messages[0]['content'] }}")
    with pytest.raises(StoreError, match=r"chat template @gentle\.jinja, now with content hash [0-9a-f]{16}"):
        map_again(folder)


def without_record(folder: Path) -> None:
    db = sqlite3.connect(folder / folders.DATABASE)
    db.execute("DELETE FROM meta WHERE key LIKE 'asked:%'")
    db.commit()


@pytest.mark.slow
def test_without_its_record_the_dtype_is_that_of_the_manifest(released, monkeypatch):
    folder = released / "plain"
    without_record(folder)
    monkeypatch.setattr(catalog, "open_engine", no_model)
    map_again(folder)
    assert verify(folder, full=False, note=pytest.fail) == []


def test_without_record_and_manifest_a_folder_is_read_but_not_continued(released):
    folder = released / "plain"
    without_record(folder)
    (folder / folders.MANIFEST).unlink()
    before = texts(folder)
    assert api.read_study(folder).panels
    with pytest.raises(StoreError, match=r"recorded with the dtype .*dtype auto, now float32.*Restore its manifest"):
        map_again(folder)
    assert texts(folder) == before


def test_renaming_onto_a_decoding_that_is_there_keeps_one_of_each(released):
    folder = released / "plain"
    with StudyStore.open(folder) as store:
        (held,) = store.decodings().values()
        other = Decoding(dtype="bfloat16")
        store.add_question(points=(), systems=(), decoding=other)
        rows = list(store.responses())
        with store.transaction() as db:
            db.execute(
                "INSERT INTO responses SELECT 'x' || key, point, prompt, system, ?, sample, text || '!', thinking, "
                "n_tokens, finish_reason, broken, gap, created, NULL FROM responses WHERE key = ?",
                (other.key, rows[0].key),
            )
            db.execute("INSERT INTO verdicts SELECT 'x' || response, judge, version, label, success, reason, created, "
                       "grade, NULL FROM verdicts WHERE response = ?", (rows[0].key,))  # fmt: skip
    db = connect(folder / folders.DATABASE)
    with transaction(db):
        rename_decoding(db, other.key, held)
    db.close()
    with StudyStore.open(folder) as store:
        assert list(store.responses()) == rows
        assert set(store.decodings()) == {held.key}
    assert verify(folder, full=False, note=pytest.fail) == []


def test_a_row_that_was_altered_still_says_so(released):
    folder = released / "plain"
    db = sqlite3.connect(folder / folders.DATABASE)
    db.execute("UPDATE responses SET text = 'other' WHERE rowid = 1")
    db.commit()
    (found,) = verify(folder, full=False, note=pytest.fail)
    assert "does not hold what was written" in found
