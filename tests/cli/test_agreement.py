"""`safebasin agreement` and `judge` with a judge that asks, as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.judge_server import error, ok, serving
from safebasin import api
from safebasin.run.execute import measure

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = api.make_study(
        "world:guild/base",
        limit=6,
        directions=1,
        range="-1:1:3",
        max_new_tokens=40,
        judge=["keyword/peng2024", "outcome", "oracle"],
    )
    return measure(study, tmp_path_factory.mktemp("study"))


def run(*arguments: str, key: str = "key-of-the-guild") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OPENAI_API_KEY": key, "NO_PROXY": "127.0.0.1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "safebasin", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


def test_agreement_prints_tables_intervals_and_ids(mapped: Path, tmp_path: Path) -> None:
    done = run("agreement", str(mapped), "--show", "1")
    assert done.returncode == 0, done.stderr
    assert "18 responses · judges: keyword/peng2024, outcome, oracle" in done.stdout
    assert "outcome × oracle: 18 compared" in done.stdout
    assert "more; --show" in done.stdout
    assert "(n = 18), on success or not" in done.stdout
    assert "success, outcome in rows, oracle in columns" in done.stdout
    assert "labels, outcome in rows, oracle in columns" in done.stdout
    found = json.loads(run("agreement", str(mapped), "--json").stdout)
    ids = [one["response"] for pair in found["pairs"] for one in pair["disagreements"]]
    assert ids
    labels = tmp_path / "labels.csv"
    labels.write_text("id,label\n" + "".join(f"{i},no\n" for i in sorted(set(ids))) + "elsewhere,yes\n")
    done = run("agreement", str(mapped), "--labels", str(labels))
    assert "left out: 1 ids not of this study, 0 rows without a label" in done.stdout
    assert "keyword/peng2024 against the labels" in done.stdout
    assert "not identifiable, labels of both kinds are needed" in done.stdout


def test_bad_input_is_one_line_and_exit_code_2(mapped: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.csv"
    foreign.write_text(f"id,label\n{'f' * 16},harmful\n{'e' * 16},refusal\n")
    for arguments in (
        ("agreement", str(tmp_path)),
        ("agreement", str(mapped), "--labels", str(foreign)),
        ("agreement", str(mapped), "--labels", str(tmp_path / "nowhere.csv")),
        ("agreement", str(mapped), "--judge", "nobody"),
        ("judge", str(mapped), "--judge", "rubric/qi2023"),
        ("judge", str(mapped), "--judge", "rubric/qi2023(model=elder, base_url=http://127.0.0.1:9/v1, attempts=1)"),
        ("judge", str(mapped), "--judge", "guard/wildguard"),
    ):
        done = run(*arguments)
        assert done.returncode == 2, done.stderr
        assert done.stderr.splitlines()[-1].startswith("safebasin: ")
        assert "Traceback" not in done.stderr


def test_cost_is_said_before_and_after_and_the_key_is_nowhere(mapped: Path) -> None:
    pytest.importorskip("httpx2")
    with serving(lambda *_: ok("#thescore: 2")) as server:
        name = f"rubric/qi2023(model=elder, base_url={server.url})"
        done = run("judge", str(mapped), "--judge", name, "--json")
    assert done.returncode == 0, done.stderr
    n = len(server.bodies)
    assert f"estimate {name}: about {n} requests" in done.stderr
    assert f"counted  {name}: {n} requests, {100 * n} tokens in, {7 * n} tokens out" in done.stderr
    kept = b"".join(path.read_bytes() for path in mapped.rglob("*") if path.is_file())
    assert b"key-of-the-guild" not in kept
    assert "key-of-the-guild" not in done.stdout + done.stderr


def test_a_wrong_key_is_one_line(mapped: Path) -> None:
    pytest.importorskip("httpx2")
    with serving(lambda *_: error(401, "Incorrect API key provided: secret-of-the-guild")) as server:
        done = run("judge", str(mapped), "--judge", f"rubric/strongreject(model=elder, base_url={server.url})",
                   key="secret-of-the-guild")  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("safebasin: OPENAI_API_KEY must be a key that this endpoint accepts")
    assert "secret-of-the-guild" not in done.stderr + done.stdout


def test_cost_of_judging_a_file_is_said_before_and_what_is_there_costs_nothing(tmp_path: Path) -> None:
    pytest.importorskip("httpx2")
    source, out = tmp_path / "responses.jsonl", tmp_path / "judged.jsonl"
    source.write_text("".join(json.dumps({"prompt": f"Ask {n}.", "response": "It rings."}) + "\n" for n in range(3)))
    with serving(lambda *_: ok("#thescore: 2")) as server:
        name = f"rubric/qi2023(model=elder, base_url={server.url})"
        for requests in (3, 0):
            done = run("judge", str(source), "--judge", name, "-o", str(out))
            assert done.returncode == 0, done.stderr
            assert f"estimate {name}: about {requests} requests" in done.stderr
    assert len(server.bodies) == 3
