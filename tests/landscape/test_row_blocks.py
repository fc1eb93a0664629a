"""What an export writes is what records of each response say, row by row; a wrong value in any column is help."""

from __future__ import annotations

import csv
import json
import math
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from helpers.models import make_tiny_model
from safebasin import api
from safebasin.errors import StoreError
from safebasin.landscape import export
from safebasin.landscape.flat_rows import flat_columns, flat_rows
from safebasin.landscape.samples import Sample, read_samples
from safebasin.landscape.stored import StoredStudy
from safebasin.run.execute import measure
from safebasin.store.folder import DATABASE

JUDGES = ("keyword/peng2024", "refusal", "outcome")
PROMPTS, ROWS = 6, 2 * 3 * (6 + 4)
"""Two system prompts at three points, two sets of which one is a part of the other's prompts and one more."""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sets, two system prompts; a further judge in two versions, grades; scores and verdicts that lack."""
    folder = tmp_path_factory.mktemp("blocks")
    for name, pots in (("tea", range(PROMPTS)), ("more", (9, 2, 0, 1))):
        (folder / f"{name}.txt").write_text("".join(f"How warm is pot {i}?\n" for i in pots))
    study = api.make_study(
        str(make_tiny_model(folder / "model")), prompts=[folder / "tea.txt", folder / "more.txt"], directions=1,
        range="-0.2:0.2:3", max_new_tokens=4, judge=list(JUDGES), device="cpu", systems=["none", "Be brief."],
    )  # fmt: skip
    measure(study, folder / "study")
    columns = "response, judge, version, label, success, reason, created"
    for statement in (
        f"INSERT INTO verdicts ({columns}, grade) SELECT response, 'rubric', '1', 'complied', rowid % 2, '', '', "
        "rowid % 5 + 0.5 FROM verdicts WHERE judge = 'refusal' AND rowid % 3",
        f"INSERT INTO verdicts ({columns}) SELECT response, 'rubric', '2', 'harmless', NULL, '', '' FROM verdicts "
        "WHERE judge = 'refusal' AND rowid % 5 = 0",
        f"INSERT INTO verdicts ({columns}) SELECT response, judge, 'old', 'unscored', NULL, '', '' FROM verdicts "
        "WHERE judge = 'refusal'",
        "UPDATE verdicts SET label = 'unscored', success = NULL WHERE judge = 'outcome' AND rowid % 4 = 0",
        "DELETE FROM verdicts WHERE judge = 'outcome' AND version <> 'old' AND rowid % 7 = 1",
        "DELETE FROM scores WHERE rowid % 3 = 0",
        "UPDATE scores SET nll = x'', ends = x'' WHERE rowid % 5 = 1",
        "UPDATE responses SET text = x'eda080706f74' WHERE rowid % 6 = 0",
        "UPDATE responses SET text = 'J''ai dit \"thé\", \n' || text WHERE rowid % 6 = 1",
        "DELETE FROM responses WHERE rowid = 11",
    ):
        change(folder / "study", statement)
    return folder / "study"


@pytest.fixture
def folder(measured: Path, tmp_path: Path) -> Path:
    return shutil.copytree(measured, tmp_path / "study")


def change(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / DATABASE)) as db, db:
        db.execute(statement)


def plain(study: StoredStudy, sample: Sample) -> dict[str, object]:
    mean = None if sample.score is None else sample.score.mean()
    return {
        "id": sample.response.key, "prompt_id": sample.prompt_id, "prompt": sample.prompt_text,
        "response": sample.text, "region": study.plan.regions[sample.region].name, "direction": sample.direction,
        "system": sample.system, "prompts": sample.prompts, "category": sample.category, "behavior": sample.behavior,
        "label": sample.prompt_label, "outcome": sample.label, "n_tokens": sample.response.n_tokens,
        "finish_reason": sample.response.finish_reason,
        "nll": mean if mean is not None and math.isfinite(mean) else None,
        "n_scored": None if sample.score is None else sample.score.count(),
    }  # fmt: skip


def reference(study: StoredStudy, *, with_text: bool) -> Iterator[dict[str, object]]:
    """Row by row, from records."""
    versions = {**dict(study.judges), "rubric": "1"}  # of the further judge the version that was used most
    for sample in read_samples(study, with_text=with_text, with_scores=True):
        row = plain(study, sample) | {"alpha": sample.coords[0]}
        verdicts = {(v.judge, v.version): v for v in sample.verdicts}
        for judge, version in versions.items():
            found = verdicts.get((judge, version))
            for name, field in (("verdict", "label"), ("success", "success"), ("grade", "grade")):
                row[f"{name}:{judge}"] = None if found is None else getattr(found, field)
        yield row


@pytest.mark.slow
@pytest.mark.parametrize("with_text", [False, True])
def test_flat_rows_are_those_of_records(measured: Path, with_text: bool) -> None:
    with StoredStudy.open(measured) as study:
        expected = list(reference(study, with_text=with_text))
        found = list(flat_rows(study, with_text=with_text))
        assert found == expected
        assert [list(row) for row in found] == [list(flat_columns(study))] * len(expected)
        assert all(
            type(row[name]) is type(other[name]) for row, other in zip(found, expected, strict=True) for name in row
        )
    assert ROWS - 2 <= len(found) < ROWS
    assert any(row["response"] is None for row in found) != with_text
    for name in ("nll", "n_scored", "verdict:outcome", "grade:rubric", "success:rubric"):
        assert {row[name] is None for row in found} == {True, False}, name
    assert {0} < {row["n_scored"] for row in found} - {None}


def test_json_lines_are_those_of_records(measured: Path, tmp_path: Path) -> None:
    with StoredStudy.open(measured) as study:
        expected = [
            {
                **plain(study, sample),
                "coords": list(sample.coords),
                "verdicts": [
                    {"judge": v.judge, "version": v.version, "label": v.label, "success": v.success, "grade": v.grade}
                    for v in sample.verdicts
                ],
            }
            for sample in read_samples(study, with_text=True, with_scores=True)
        ]
    n = api.export_study(measured, tmp_path / "rows.jsonl", with_text=True)
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert lines == [json.dumps(row) for row in expected]
    assert n == len(lines)
    assert {len(row["verdicts"]) for row in expected} >= {3, 4, 5}


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_tables_hold_the_rows_whatever_is_written_at_a_time(
    measured: Path, tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_ROW_GROUP", size)
    with StoredStudy.open(measured) as study:
        rows = list(flat_rows(study, with_text=True))
    for name in ("rows.csv", "rows.parquet"):
        assert api.export_study(measured, tmp_path / name, with_text=True) == len(rows)
    table = pq.ParquetFile(tmp_path / "rows.parquet")
    escaped = [{**row, "response": str(row["response"]).encode("utf-8", "backslashreplace").decode()} for row in rows]
    assert table.read().to_pylist() == escaped
    assert table.num_row_groups == -(-len(rows) // size)
    with (tmp_path / "rows.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert read == [{name: "" if v is None else str(v) for name, v in row.items()} for row in escaped]


DAMAGE = {
    "responses.text": "7.5", "responses.n_tokens": "'many'", "responses.finish_reason": "x'00'",
    "responses.sample": "'x'", "responses.broken": "x'00'", "responses.thinking": "3", "responses.key": "'none'",
    "scores.nll": "x'0000'", "scores.ends": "'abcd'", "verdicts.label": "x'00'", "verdicts.grade": "'good'",
    "verdicts.reason": "5",
}  # fmt: skip


@pytest.mark.parametrize("cell", DAMAGE)
@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_wrong_value_is_one_line_of_help(folder: Path, tmp_path: Path, cell: str, ending: str) -> None:
    table, column = cell.split(".")
    change(folder, f"UPDATE {table} SET {column} = {DAMAGE[cell]} WHERE rowid = (SELECT max(rowid) FROM {table})")
    with pytest.raises(StoreError, match="study database must be what a study wrote") as found:
        api.export_study(folder, tmp_path / f"rows.{ending}")
    assert "\n" not in str(found.value)
    assert not (tmp_path / f"rows.{ending}").exists()


def test_a_text_that_is_none_is_help(folder: Path, tmp_path: Path) -> None:
    change(folder, "UPDATE responses SET text = CAST(x'ff41' AS TEXT) WHERE rowid = 3")
    with pytest.raises(StoreError, match="study database"):
        api.export_study(folder, tmp_path / "rows.csv")
