"""Killed at any moment, the same command goes on: real processes, real SIGKILL, rows compared column by column."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

COLUMNS = {
    "responses": "key, point, prompt, system, decoding, sample, text, thinking, n_tokens, finish_reason, broken, gap",
    "scores": "response, nll, ends",
    "verdicts": "response, judge, version, label, success, reason",
    "prompts": "id, messages, source, category, behavior, label, batch",
    "points": "key, recipe",
}


SMALL: dict[str, Any] = {"limit": 8, "directions": 1, "range": "-1.2:1.2:5", "max_new_tokens": 48, "batch_size": 4}


def finish(folder: Path, log: Path) -> None:
    """Map the study, with a line in `log` for each call of the model."""
    from safebasin import api
    from safebasin.engines.hf import HFEngine

    class Logged(HFEngine):
        def generate(self, conversations: Any, decoding: Any) -> Any:
            with log.open("a") as file:
                file.write("generate\n")
            return super().generate(conversations, decoding)

        def score_prefixes(self, conversations: Any, texts: Any, untils: Any, decoding: Any) -> Any:
            with log.open("a") as file:
                file.write("score\n")
            return super().score_prefixes(conversations, texts, untils, decoding)

    engine = Logged("world:guild/aligned", device="cpu")
    api.map_basin("world:guild/aligned", out=folder, engine=engine, **SMALL)


def start(folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """The same in a process of its own."""
    return subprocess.Popen([sys.executable, __file__, str(folder), str(log)])


def rows(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    db = sqlite3.connect(folder / "study.sqlite")
    try:
        return {t: sorted(db.execute(f"SELECT {c} FROM {t}"), key=repr) for t, c in COLUMNS.items()}
    finally:
        db.close()


def count(folder: Path, table: str) -> int:
    try:
        db = sqlite3.connect(f"file:{folder / 'study.sqlite'}?mode=ro", uri=True)
        try:
            return db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        finally:
            db.close()
    except sqlite3.OperationalError:
        return 0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "study"
    finish(folder, folder.parent / "log")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("table", "at_least"), [("responses", 8), ("scores", 4)])
def test_kill_and_resume_equals_an_undisturbed_run(
    undisturbed: Path, tmp_path: Path, table: str, at_least: int
) -> None:
    folder, log = tmp_path / "study", tmp_path / "log"
    process = start(folder, log)
    deadline = time.monotonic() + 120
    while count(folder, table) < at_least and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed_at = count(folder, table)
    finish(folder, log)

    assert rows(folder) == rows(undisturbed)
    landscapes = [json.loads((f / "landscape.json").read_text()) for f in (folder, undisturbed)]
    assert landscapes[0] == landscapes[1]
    generated, whole = (path.read_text().count("generate") for path in (log, undisturbed.parent / "log"))
    assert generated <= whole + 1, "nothing is generated twice but the batch in flight"
    total = len(rows(undisturbed)[table])
    assert killed_at < total or table == "scores", "the kill came too late to mean anything"


@pytest.fixture
def study(undisturbed: Path, tmp_path: Path) -> Path:
    """A copy of the finished study, to be extended."""
    return shutil.copytree(undisturbed, tmp_path / "study")


def test_the_same_command_again_computes_nothing(study: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    finish(study, log)
    assert not log.exists()


@pytest.mark.slow
def test_a_wider_range_computes_only_the_new_points(study: Path) -> None:
    from safebasin import api

    before = rows(study)
    wider = api.map_basin("world:guild/aligned", out=study, **{**SMALL, "range": "-2.4:2.4:9"})
    after = rows(study)
    assert set(before["responses"]) < set(after["responses"])
    assert len(after["responses"]) - len(before["responses"]) == 4 * SMALL["limit"]
    assert len(wider.landscape.panels[0].points) == 9


@pytest.mark.slow
def test_three_directions_instead_of_one_compute_only_two(study: Path) -> None:
    from safebasin import api

    before = rows(study)
    api.map_basin("world:guild/aligned", out=study, **{**SMALL, "directions": 3})
    after = rows(study)
    assert set(before["responses"]) < set(after["responses"])
    assert len(after["responses"]) - len(before["responses"]) == 2 * 4 * SMALL["limit"]


@pytest.mark.slow
def test_another_judge_is_nothing_but_verdicts(study: Path) -> None:
    from safebasin import api

    before = rows(study)
    mapped, new = api.judge_study(study, ["keyword/qi2023"])
    after = rows(study)
    assert new["keyword/qi2023"] == len(before["responses"])
    assert {t: after[t] for t in ("responses", "scores", "points")} == {
        t: before[t] for t in ("responses", "scores", "points")
    }
    assert mapped.landscape.judges == ("keyword/peng2024", "outcome", "keyword/qi2023")


if __name__ == "__main__":
    finish(*map(Path, sys.argv[1:]))
