"""Trackers: what they are told, and that none of them can hurt a run."""

from __future__ import annotations

import importlib
import logging
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from helpers.landscapes import make_landscape
from helpers.models import make_tiny_model
from helpers.verdicts import make_condition, make_metric, make_verdict
from safebasin import api
from safebasin.errors import MissingExtra, UnknownName, UsageError
from safebasin.interop import trackers
from safebasin.interop.tracking import Tracked, tracked
from safebasin.run.progress import Tick, silent


class Kept:
    """A tracker that keeps what it is told, and fails when it is told often enough."""

    def __init__(self, name: str = "", settings: Mapping[str, str] | None = None, *, most: int = 10_000) -> None:
        self.name, self.settings, self.most = name, settings, most
        self.told: list[tuple[int, dict[str, float]]] = []
        self.ended: list[bool] = []

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        if len(self.told) == self.most:
            raise OSError("the line is\ndown")
        self.told.append((step, dict(numbers)))

    def close(self, *, failed: bool) -> None:
        self.ended.append(failed)


def test_every_point_and_statistic_is_told() -> None:
    landscape, tracker = make_landscape(), Kept()
    Tracked(tracker).landscape(landscape)
    panel = landscape.panels[0]
    *points, (last, statistics) = tracker.told[: len(panel.points) + 1]
    prefix = f"{panel.region.name}/{panel.prompts}/{panel.system}/" if len(landscape.panels) > 1 else ""
    assert last == len(panel.points)
    for (step, numbers), cell in zip(points, panel.points, strict=True):
        assert step == panel.points.index(cell)
        assert numbers[f"{prefix}alpha"] == cell.coords[0]
        for judge, rate in cell.asr.items():
            assert numbers.get(f"{prefix}asr/{judge}") == rate.value
    margin = panel.summary["margin"]
    assert (statistics[f"{prefix}margin"], statistics.get(f"{prefix}margin_low")) == (margin.value, margin.low)
    assert None not in statistics.values()


def test_an_audit_is_told_with_bounds_and_limit() -> None:
    metric = make_metric()
    tracker = Kept()
    Tracked(tracker).verdict(make_verdict(make_condition(metric)))
    numbers = tracker.told[0][1]
    assert numbers[f"tuned/{metric.name}"] == metric.tuned.value
    assert numbers[f"worse/{metric.name}"] == metric.difference.value
    assert tracker.told[-1][1].keys() == {"exit_code"}


def test_decoding_is_told_once_a_point_and_shown_as_before() -> None:
    tracker, shown = Kept(), list[Tick]()
    hook = Tracked(tracker).hook(shown.append)
    ticks = [
        Tick(stage="generate", done=n, total=4, point=n // 2, points=2, tokens=8 * n, seconds=2.0) for n in range(5)
    ]
    for tick in (*ticks, Tick(stage="judge", done=4, total=4)):
        hook(tick)
    assert len(shown) == 6
    assert [(step, n["progress/responses"], n.get("progress/tokens_per_s")) for step, n in tracker.told] == [
        (0, 0, None), (1, 2, 8.0), (2, 4, 16.0)
    ]  # fmt: skip
    assert Tracked(None).hook(silent) is silent


def test_a_training_is_told_step_by_step_and_shown_as_before() -> None:
    tracker, steps, read = Kept(), list[object](), list[object]()
    run = Tracked(tracker)
    training, held_out = run.training(lambda *at: steps.append(at)), run.held_out(lambda *at: read.append(at))
    assert training is not None
    assert held_out is not None
    held_out(0, 2.0)
    training(1, 3, 1.5)
    assert tracker.told == [(0, {"eval/loss": 2.0}), (1, {"train/loss": 1.5})]
    assert (steps, read) == ([(1, 3, 1.5)], [(0, 2.0)])
    assert Tracked(None).training(None) is Tracked(None).held_out(None) is None


def test_a_tracker_that_fails_is_left_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    tracker = Kept(most=1)
    run = Tracked(tracker, "trackio")
    with caplog.at_level(logging.WARNING):
        run.landscape(make_landscape())
        run.close(failed=False)
    assert [record.getMessage() for record in caplog.records] == [
        "trackio failed and is told nothing more; what is measured is kept (the line is down)"
    ]
    assert len(tracker.told) == 1


def test_a_run_that_fails_is_told_as_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = list[Kept]()
    monkeypatch.setitem(trackers.TRACKERS, "wandb", lambda *given: made.append(Kept(*given)) or made[-1])
    with pytest.raises(ValueError, match="tea"), tracked("wandb", tmp_path / "pot", {"model": "m", "none": None}):
        raise ValueError("tea")
    with tracked("wandb", tmp_path / "pot", {}):
        pass
    assert [one.ended for one in made] == [[True], [False]]
    assert (made[0].name, made[0].settings) == ("pot", {"model": "m"})


def test_what_a_tracker_prints_is_no_result(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def begin(name: str, settings: Mapping[str, str]) -> Kept:
        sys.stdout.write("hello")
        return Kept()

    monkeypatch.setitem(trackers.TRACKERS, "wandb", begin)
    trackers.open_tracker("wandb", "", {}).log({}, 0)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", list(trackers.TRACKERS))
def test_a_tracker_that_is_not_installed_is_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=rf"pip install 'safebasin\[{name}\]'"):
        api.map_basin(out=tmp_path / "study", track=name)
    assert not list(tmp_path.iterdir())


def test_a_tracker_that_cannot_be_reached_is_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(name: str, settings: Mapping[str, str]) -> Kept:
        raise ConnectionError("no such\nhost")

    monkeypatch.setitem(trackers.TRACKERS, "mlflow", begin)
    with pytest.raises(UsageError, match=r"a tracker that can be reached; got 'mlflow'\. \(no such host\)"):
        api.map_basin(out=tmp_path / "study", track="mlflow")
    with pytest.raises(UnknownName, match="one of trackio, wandb, tensorboard, mlflow; got 'tea'"):
        api.audit("nowhere", "nowhere", out=tmp_path / "audit", track="tea")
    assert not list(tmp_path.iterdir())


class Hung(Kept):
    """A tracker whose server accepts what it is told and never answers."""

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        threading.Event().wait(60)


def test_a_tracker_that_never_answers_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trackers, "PATIENCE", 0.1)
    monkeypatch.setitem(trackers.TRACKERS, "wandb", Hung)
    began = time.monotonic()
    with caplog.at_level(logging.WARNING), tracked("wandb", Path("pot"), {}) as run:
        run.landscape(make_landscape())
        sys.stdout.write("a result")
    assert time.monotonic() - began < 30
    assert [record.getMessage() for record in caplog.records] == [
        "wandb failed and is told nothing more; what is measured is kept (no answer within 0.1 s)"
    ]
    assert capsys.readouterr().out == "a result"

    monkeypatch.setitem(trackers.TRACKERS, "wandb", lambda name, settings: Hung().log({}, 0))
    with pytest.raises(UsageError, match=r"must be a tracker that can be reached; got 'wandb'\. \(no answer within 0"):
        trackers.open_tracker("wandb", "", {})


def test_no_thread_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def threads() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name == "safebasin-tracker"}

    before, begun = threads(), set[threading.Thread]()
    monkeypatch.setitem(trackers.TRACKERS, "wandb", Kept)
    with tracked("wandb", Path("pot"), {}) as run:
        run.landscape(make_landscape())
        begun |= threads() - before
    assert len(begun) == 1
    monkeypatch.setitem(trackers.TRACKERS, "wandb", lambda name, settings: 1 / 0)
    with pytest.raises(UsageError, match="a tracker that can be reached"):
        trackers.open_tracker("wandb", "", {})
    for thread in begun | threads() - before:
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.slow
def test_a_map_whose_tracker_fails_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "tea.txt"
    file.write_text("".join(f"How warm is pot {i}?\n" for i in range(4)))
    model = str(make_tiny_model(tmp_path / "model"))
    made = Kept(most=2)
    monkeypatch.setitem(trackers.TRACKERS, "trackio", lambda name, settings: made)
    asked = {"prompts": file, "directions": 1, "range": "-0.2:0.2:3", "max_new_tokens": 4, "judge": "refusal"}
    plain = api.map_basin(model, out=tmp_path / "plain", device="cpu", **asked)
    told = api.map_basin(model, out=tmp_path / "told", device="cpu", track="trackio", **asked)
    assert len(made.told) == 2
    assert told.landscape.panels == plain.landscape.panels
    assert api.verify_study(tmp_path / "told") == []


def test_tensorboard_keeps_the_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path))
    with tracked("tensorboard", Path("pot"), {"model": "m"}) as run:
        run.log({"asr/refusal": 0.25, "none": None}, 3)
    reading = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    found = reading.EventAccumulator(str(tmp_path / "pot"))
    found.Reload()
    assert [(event.step, event.value) for event in found.Scalars("asr/refusal")] == [(3, 0.25)]
    assert found.Tags()["scalars"] == ["asr/refusal"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("name", ["wandb", "trackio", "mlflow"])
def test_the_others_keep_a_run_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    for key, value in {
        "WANDB_MODE": "offline", "TRACKIO_DIR": str(tmp_path / "trackio"), "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_TRACKING_URI": (tmp_path / "mlruns").as_uri(),
    }.items():  # fmt: skip
        monkeypatch.setenv(key, value)
    pytest.importorskip(name)  # after it: trackio reads its folder when it is imported
    with tracked(name, Path("pot"), {"model": "m"}) as run:
        run.log({"asr/refusal": 0.25, "margin": 0.1, "margin_low": 0.0}, 3)
        assert run.tracker is not None
    assert run.tracker is not None
    assert any(path.is_file() for path in tmp_path.rglob("*"))
