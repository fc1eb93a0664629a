"""A stored study: opened once, and one answer to what is missing."""

from __future__ import annotations

import json
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.models import make_tiny_model
from safebasin import api
from safebasin.errors import StoreError
from safebasin.landscape import export, row_blocks
from safebasin.landscape.stored import Missing, StoredStudy
from safebasin.run.execute import measure
from safebasin.run.verify import verify
from safebasin.store.columns import Answers
from safebasin.store.folder import DATABASE

SIZE = 3 * 6


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    file = folder / "tea.txt"
    file.write_text("".join(f"How warm is pot {i}?\n" for i in range(6)))
    made = api.make_study(
        str(make_tiny_model(folder / "model")), prompts=file, directions=1, range="-0.2:0.2:3", max_new_tokens=4,
        judge=["keyword/peng2024", "refusal", "outcome"], device="cpu",
    )  # fmt: skip
    return measure(made, folder / "study")


@pytest.fixture
def folder(measured: Path, tmp_path: Path) -> Path:
    return shutil.copytree(measured, tmp_path / "study")


def change(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / DATABASE)) as db, db:
        db.create_function("content_digest", -1, lambda *_: "")
        db.execute(statement)


def missing(folder: Path) -> Missing:
    with StoredStudy.open(folder) as study:
        return study.missing()


@pytest.mark.slow
def test_nothing_is_missing_of_what_was_measured(folder: Path) -> None:
    with StoredStudy.open(folder) as study:
        assert study.rows.count() == study.plan.size == SIZE
        assert [name for name, _ in study.judges] == ["keyword/peng2024", "refusal", "outcome"]
        assert study.name == "study"
    assert missing(folder) == Missing(responses=0, scores=0, verdicts={}, measurements={}, traces=False)


@pytest.mark.parametrize(
    ("statement", "left", "said"),
    [
        ("DELETE FROM verdicts WHERE judge = 'refusal'", Missing(responses=0, scores=0, verdicts={"refusal": SIZE},
         measurements={}, traces=False), "18 verdicts of refusal are missing"),
        ("DELETE FROM scores", Missing(responses=0, scores=SIZE, verdicts={}, measurements={}, traces=False),
         "18 scores of responses are missing"),
        ("DELETE FROM responses WHERE point = 'origin'", Missing(responses=6, scores=0, verdicts={}, measurements={},
         traces=False), "6 of 18 responses are missing"),
    ],
)  # fmt: skip
def test_what_is_missing_is_counted_and_said(folder: Path, statement: str, left: Missing, said: str) -> None:
    change(folder, statement)
    assert missing(folder) == left
    assert any(said in found for found in verify(folder, full=False, note=lambda text: None))


def test_measurements_that_the_plan_names_are_missing_at_every_point(folder: Path) -> None:
    with closing(sqlite3.connect(folder / DATABASE)) as db, db:
        (text,) = db.execute("SELECT value FROM meta WHERE key = 'plan'").fetchone()
        db.create_function("content_digest", -1, lambda *_: "")
        kept = {**json.loads(text), "gauges": ["a setting"]}
        db.execute("UPDATE meta SET value = ? WHERE key = 'plan'", (json.dumps(kept),))
    assert [len(points) for points in missing(folder).measurements.values()] == [3]
    assert any("capability is missing at 3 of 3" in found for found in verify(folder, full=False, note=print))


def test_a_folder_that_is_no_study_or_has_another_writer_is_help(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="study"), StoredStudy.open(tmp_path / "none"):
        pass

    def write() -> None:
        with StoredStudy.open(folder, write=True):
            pytest.fail("two write at once")

    with (
        StoredStudy.open(folder, write=True),
        StoredStudy.open(folder) as reading,
        ThreadPoolExecutor() as another,
    ):
        assert reading.plan.size == SIZE
        with pytest.raises(StoreError, match="free of other writers"):
            another.submit(write).result()


def test_rows_are_written_as_they_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events, read = list[str](), row_blocks.read_answers

    def answers(*given: Any) -> Answers:
        events.append("read")
        return read(*given)

    def dumps(value: object, **given: Any) -> str:
        events.append("write")
        return json.dumps(value, **given)

    monkeypatch.setattr(row_blocks, "read_answers", answers)
    monkeypatch.setattr(export, "json", SimpleNamespace(dumps=dumps))
    with StoredStudy.open(folder) as study:
        assert export.export(study, folder.parent / "rows.jsonl", format="jsonl", with_text=False) == SIZE
    assert events == ["read", *["write"] * (SIZE // 3)] * 3
