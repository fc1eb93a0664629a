"""Outputs of the command line: formats by the ending, nothing of ours as a target, whole files on full disks."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.command import exit_code
from safebasin import api
from safebasin.writing import KINDS


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files") / "study"
    options = {"limit": 3, "directions": 1, "range": "-1.2:1.2:3", "max_new_tokens": 16, "device": "cpu"}
    api.map_basin("world:guild/aligned", out=folder, **options)
    return folder


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def content(folder: Path) -> dict[str, str]:
    """Every file of a folder with the hash of what it holds."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


# --- formats ---------------------------------------------------------------------------------------------------------


def test_the_ending_says_the_format(study: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    for name in ("x.jsonl", "x.csv", "x.parquet", "X.CSV"):
        assert exit_code("export", study, "-o", tmp_path / name) == 0
    rows = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    table = pq.read_table(tmp_path / "x.parquet").to_pylist()
    cells = list(csv.DictReader(io.StringIO((tmp_path / "x.csv").read_bytes().decode(), newline="")))
    assert len(rows) == len(table) == len(cells) == 9
    assert [row["response"] for row in rows] == [row["response"] for row in table] == [c["response"] for c in cells]
    for row, cell in zip(rows, cells, strict=True):
        assert [float(cell["alpha"])] == row["coords"]
        for one in row["verdicts"]:
            assert (cell[f"verdict:{one['judge']}"], cell[f"success:{one['judge']}"]) == (
                one["label"],
                str(one["success"]),
            )
        plain = {key: "" if value is None else str(value) for key, value in row.items() if not isinstance(value, list)}
        assert plain == {key: cell[key] for key in plain}
    for row, flat in zip(rows, table, strict=True):
        assert [flat["alpha"]] == row["coords"]
        assert {f"verdict:{v['judge']}": v["label"] for v in row["verdicts"]}.items() <= flat.items()
        assert (flat["nll"], flat["n_scored"]) == (row["nll"], row["n_scored"])
        assert (row["nll"] is None) == (row["n_scored"] in (None, 0))
    assert any(row["n_scored"] for row in rows)
    assert (tmp_path / "X.CSV").read_bytes() == (tmp_path / "x.csv").read_bytes()


@pytest.mark.parametrize(
    ("name", "given", "code"),
    [
        ("x.jsonl", ["--format", "parquet"], 2),
        ("x.csv", ["--format", "jsonl"], 2),
        ("x.jsonl", ["--format", "jsonl"], 0),
        ("x.txt", [], 2),
        ("x", [], 2),
        ("x", ["--format", "csv"], 0),
        ("x.jsonl", ["--format", "xml"], 2),
    ],
)
def test_a_format_that_contradicts_the_ending_is_refused(
    study: Path, tmp_path: Path, name: str, given: list[str], code: int
) -> None:
    assert exit_code("export", study, "-o", tmp_path / name, *given) == code
    assert (tmp_path / name).exists() == (code == 0)


# --- what is read ---------------------------------------------------------------------------------------------------


def test_a_pipe_is_named_as_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert exit_code("judge", tmp_path / "pipe.jsonl") == 2
    assert "responses must be a regular file; got" in capsys.readouterr().err


# --- own files -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_no_verb_writes_over_a_study(study: Path, tmp_path: Path) -> None:
    rows, before = tmp_path / "rows.jsonl", content(study)
    rows.write_text(json.dumps({"prompt": "Weigh the clay.", "response": "Two pounds."}) + "\n")
    (tmp_path / "link.jsonl").symlink_to(study / "study.sqlite")
    (tmp_path / "hard.jsonl").hardlink_to(study / "study.sqlite")
    (tmp_path / "there").symlink_to(study, target_is_directory=True)
    names = [study / name for name in before]
    names += [tmp_path / "there" / "study.sqlite", study / "figures" / ".." / "study.sqlite", tmp_path / "link.jsonl"]
    for name in names:
        assert exit_code("export", study, "-o", name, "--format", "jsonl") == 2, name
        assert exit_code("judge", rows, "--judge", "keyword/zou2023", "-o", name) == 2, name
    assert exit_code("export", study, "-o", tmp_path / "hard.jsonl") == 2
    assert exit_code("judge", rows, "--judge", "keyword/zou2023", "-o", rows) == 2
    for verb in (("compare", study, study), ("claims", "peng2024"), ("audit", *["world:guild/aligned"] * 2)):
        assert exit_code(*verb, "-o", study) == 2
    sweep = ("--attack", "harmful_examples", "--sweep", "lr=1e-4", "-o", study)
    assert exit_code("finetune", "world:guild/aligned", *sweep) == 2
    assert exit_code("worst-case", "world:guild/aligned", "--prompts", "world:guild/harmful@val", "-o", study) == 2
    assert content(study) == before


def test_what_a_study_leaves_is_all_known_as_its_own(study: Path) -> None:
    assert [p.name for p in study.iterdir() if not KINDS["a study"].owns(p.name)] == []


def test_a_comparison_and_claims_are_no_folders_for_anything_else(study: Path, tmp_path: Path) -> None:
    for verb, mark in (("compare", "comparison.json"), ("claims", "claims.json")):
        (tmp_path / verb).mkdir()
        (tmp_path / verb / mark).write_text("{}")
    before = content(tmp_path)
    assert exit_code("compare", study, study, "-o", tmp_path / "claims") == 2
    assert exit_code("claims", "peng2024", "-o", tmp_path / "compare") == 2
    assert exit_code("map", "-o", tmp_path / "compare", "--limit", "1") == 2
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "report.html").write_text("mine")
    (tmp_path / "thesis" / "thesis.tex").write_text("mine")
    assert exit_code("compare", study, study, "-o", tmp_path / "thesis") == 2
    assert content(tmp_path).items() >= before.items()
    assert (tmp_path / "thesis" / "report.html").read_text() == "mine"


# --- full disks ------------------------------------------------------------------------------------------------------

FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
from safebasin.cli import main
main(sys.argv[2:])
"""


@pytest.mark.parametrize(
    ("verb", "room"),
    [("report", 30_000), *(pytest.param(v, r, marks=pytest.mark.slow) for v, r in (("report", 0), ("report", 200_000),
     ("export", 1_000), ("compare", 30_000), ("judge", 10)))],
)  # fmt: skip
@pytest.mark.slow
def test_a_disk_that_fills_up_leaves_the_old_files_whole(study: Path, tmp_path: Path, verb: str, room: int) -> None:
    one, two = (shutil.copytree(study, tmp_path / name) for name in ("one", "two"))
    (tmp_path / "x.jsonl").write_text(json.dumps({"prompt": "p", "response": "r"}) + "\n")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.jsonl").write_text("old")
    arguments = {
        "report": ["report", one],
        "export": ["export", one, "-o", tmp_path / "out" / "x.jsonl"],
        "compare": ["compare", one, two, "-o", tmp_path / "compared"],
        "judge": ["judge", tmp_path / "x.jsonl", "--judge", "keyword/zou2023", "-o", tmp_path / "out" / "x.jsonl"],
    }[verb]
    before = content(tmp_path)
    command = [sys.executable, "-c", FULL, str(room), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "ree space" in done.stderr
    after = content(tmp_path)
    assert not [name for name in after if ".part." in name or "-part" in name]
    changed = {name for name in after if before.get(name) != after[name]}
    for name in changed:  # written anew, and whole: what it was, or an end
        data = (tmp_path / name).read_bytes()
        assert data.rstrip().endswith((b"</svg>", b"IEND\xaeB`\x82", b"%%EOF", b"</html>", b"}")), name
