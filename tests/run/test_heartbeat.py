"""The sign of life of a run: how far it is, not too often, gone when it ends however it ends."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path

import pytest

from safebasin.run import heartbeat
from safebasin.run.heartbeat import HEARTBEAT, beating
from safebasin.run.progress import Tick


def tick(done: int) -> Tick:
    return Tick(stage="generate", done=done, total=8, tokens=100 * done, seconds=2.0)


def test_it_says_how_far_and_is_written_seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, told = [50.0], []
    monkeypatch.setattr(heartbeat.time, "monotonic", lambda: now[0])
    with beating(tmp_path, told.append) as hook:
        hook(tick(1))
        first = json.loads((tmp_path / HEARTBEAT).read_text())
        now[0] += heartbeat.PAUSE_S - 1
        hook(tick(2))
        assert json.loads((tmp_path / HEARTBEAT).read_text()) == first
        now[0] += 1
        hook(tick(3))
        assert json.loads((tmp_path / HEARTBEAT).read_text())["done"] == 3
    assert (first["state"], first["done"], first["planned"], first["tokens_per_s"]) == ("generate", 1, 8, 50.0)
    assert first["pid"] == os.getpid()
    assert datetime.fromisoformat(first["time"]).tzinfo is not None
    assert [one.done for one in told] == [1, 2, 3]
    assert not (tmp_path / HEARTBEAT).exists()


def test_it_is_gone_after_an_error_too(tmp_path: Path) -> None:
    def interrupted() -> None:
        with beating(tmp_path, lambda _: None) as hook:
            hook(tick(1))
            assert (tmp_path / HEARTBEAT).exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not (tmp_path / HEARTBEAT).exists()
