"""A wish to end between batches: what is being made is written, nothing more is begun, and the next run goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from safebasin import study
from safebasin.engines.scripted import ScriptedEngine, refuse_nearby
from safebasin.errors import StoreError
from safebasin.landscape.stored import StoredStudy
from safebasin.protocols import Generation
from safebasin.records import Decoding, Message
from safebasin.run import ending
from safebasin.run.execute import measure


class EndedError(Exception):
    """What the test's wish raises."""


def end() -> NoReturn:
    raise EndedError


class Wishing(ScriptedEngine):
    """An engine during whose n-th batch the wish to end comes."""

    def __init__(self, at: int) -> None:
        super().__init__(refuse_nearby)
        self.at, self.kept = at, []

    def generate(self, conversations: Sequence[Sequence[Message]], decoding: Decoding) -> list[Generation]:
        self.at -= 1
        if self.at == 0:
            self.kept = [ending.wish(end), ending.wish(end)]
        return super().generate(conversations, decoding)


def small() -> study.Study:
    axes = [{"range": "-1:1:5", "directions": 1}]
    return study.make({"model": "world:guild/aligned", "axes": axes, "limit": 4, "judges": ["keyword/peng2024"]})


def n_responses(folder: Path) -> int:
    with StoredStudy.open(folder) as stored:
        return stored.rows.count()


def test_the_batch_is_written_and_no_other_begun(tmp_path: Path) -> None:
    engine = Wishing(at=2)
    with pytest.raises(EndedError):
        measure(small(), tmp_path / "study", engine=engine)
    assert engine.kept == [True, False], "who asks twice does not want to wait"
    assert [n for call, n in engine.calls if call == "generate"] == [4, 4]
    assert n_responses(tmp_path / "study") == 8
    measure(small(), tmp_path / "study", engine=ScriptedEngine(refuse_nearby))
    assert n_responses(tmp_path / "study") == 20


def test_nothing_is_kept_where_nobody_would_grant_it() -> None:
    assert not ending.wish(end)

    @ending.batches()
    def interrupt() -> None:
        assert ending.wish(end)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert not ending.is_wished(), "what was ended at once leaves no wish behind"
    assert list(ending.until_wished([1, 2])) == [1, 2]


def test_a_wish_is_granted_though_the_batch_in_flight_ends_in_an_error(caplog: pytest.LogCaptureFixture) -> None:
    went_on = list[bool]()

    @ending.batches()
    def fail() -> None:
        assert ending.wish(end)
        raise StoreError("the disk is full")

    @ending.batches()
    def go_on() -> None:
        for _ in range(2):
            try:
                with ending.batches():
                    went_on.append(ending.wish(end))
                    raise StoreError("the disk is full")
            except StoreError:
                assert ending.is_wished(), "a block around it is not left yet"

    for run in (fail, go_on):
        with pytest.raises(EndedError) as raised:
            run()
        assert not ending.is_wished()
        if run is fail:
            assert isinstance(raised.value.__context__, StoreError)
    assert went_on == [True, False]
    assert caplog.messages == ["the last batch ended in an error: the disk is full"]


@pytest.mark.slow
@pytest.mark.parametrize("to_all", [False, True])
def test_workers_finish_what_they_are_at_when_the_run_is_terminated(tmp_path: Path, *, to_all: bool) -> None:
    folder = tmp_path / "study"
    told = ["--limit", "40", "--directions", "2", "--range=-1:1:9", "--judge", "keyword/peng2024", "--batch-size", "40"]
    many = ["--backend", "processes", "--workers", "2"] if (os.cpu_count() or 1) > 1 else []
    command = [sys.executable, "-m", "safebasin", "map", "world:guild/aligned", *told, *many, "-o", str(folder)]
    piped = {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **piped, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        while "generate" not in process.stderr.readline():
            assert process.poll() is None
        time.sleep(0.2)
        (os.killpg if to_all else os.kill)(process.pid, signal.SIGTERM)
        errors = process.stderr.read()
        process.wait(timeout=60)
    assert process.returncode == 143, errors
    assert "a worker ended" not in errors
    n = n_responses(folder)
    assert 0 < n < 17 * 40
    assert n % 40 == 0
    assert not (folder / "heartbeat.json").exists()
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert n_responses(folder) == 17 * 40
