"""A run that ends before anything was measured leaves no folder behind; what was there, or was measured, stays."""

from __future__ import annotations

import resource
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.models import make_lora
from safebasin import api, study
from safebasin.engines.scripted import ScriptedEngine
from safebasin.errors import ModelError, StoreError, UsageError
from safebasin.protocols import EngineFacts, Generation
from safebasin.records import Decoding, Message, Point
from safebasin.run.beginning import written_to
from safebasin.run.borrowing import borrow_origin
from safebasin.run.execute import measure
from safebasin.run.sharding import merge
from safebasin.store import folder as folders
from safebasin.store.db import StudyStore
from safebasin.store.measurements import StoredMeasurement, put_measurements
from safebasin.worlds.guild.world import WORLD

ALIGNED, BASE = "world:guild/aligned", "world:guild/base"
NO_DEVICE: Any = {"device": "cuda:99"}


class Failing(ScriptedEngine):
    """An engine that ends the run at its n-th batch; one that does not move stays at θ₀."""

    def __init__(self, at: int, error: BaseException, *, moves: bool = True) -> None:
        super().__init__()
        self.at, self.error, self.moves = at, error, moves

    def facts(self) -> EngineFacts:
        return replace(super().facts(), moves=self.moves)

    def generate(self, conversations: Sequence[Sequence[Message]], decoding: Decoding) -> list[Generation]:
        self.at -= 1
        if self.at == 0:
            raise self.error
        return super().generate(conversations, decoding)


def small(**fields: object) -> study.Study:
    axes = [{"range": "-1:1:3", "directions": 1}]
    return study.make({"model": ALIGNED, "axes": axes, "limit": 2, "judges": ["keyword/peng2024"], **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "no/such"},
        {"prompts": "nothing.csv"},
        {"judges": ["nobody"]},
        {"range": "1:-1:3"},
        {"axis": ["to:no/such"]},
        {"batch_size": 0},
        {"only": "nothing", "limit": 2},
        {"engine": "none"},
        NO_DEVICE,
    ],
)
def test_a_map_that_fails_first_leaves_nothing(tmp_path: Path, fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        api.map_basin(out=tmp_path / "runs" / "study", progress=False, **fields)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("room", [1, 20, 200, 5_000])
def test_a_disk_too_full_for_an_empty_database_leaves_nothing(tmp_path: Path, room: int) -> None:
    """Bytes that a file may have: none of the folder's files, some, all but the database, half of that."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(StoreError, match=r"[Ff]ree space"):
            measure(small(), tmp_path / "runs" / "study", engine=ScriptedEngine())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "verb",
    [
        lambda out: api.map_shard(api.make_study(batch_size=2, **NO_DEVICE), "1/2", out=out),
        lambda out: api.map_models([ALIGNED, BASE], out=out, **NO_DEVICE),
        lambda out: api.sweep_models(ALIGNED, [BASE], out=out, **NO_DEVICE),
        lambda out: api.audit(ALIGNED, BASE, out=out, options=NO_DEVICE),
        lambda out: api.audit(ALIGNED, "nothing", out=out),
        lambda out: api.audit(ALIGNED, BASE, out=out, harmful="nothing.csv"),
        lambda out: api.audit_fleet(ALIGNED, [BASE, "nothing"], out=out, options=NO_DEVICE),
        lambda out: api.screen_models(ALIGNED, [BASE], out=out, **NO_DEVICE),
    ],
    ids=["shard", "models", "sweep", "audit", "tuned", "harmful", "fleet", "screen"],
)
def test_nor_does_any_verb_that_measures(tmp_path: Path, verb: Callable[[Path], object]) -> None:
    with pytest.raises(UsageError):
        verb(tmp_path / "runs" / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_audit_of_an_adapter_with_files_of_its_own_leaves_no_links(tmp_path: Path) -> None:
    adapter = make_lora(tmp_path / "adapter", WORLD.checkpoint("aligned"))
    (adapter / "generation_config.json").write_text('{"suppress_tokens": [5]}')
    with pytest.raises(UsageError, match="device must be"):
        api.audit(ALIGNED, str(adapter), out=tmp_path / "out", options=NO_DEVICE)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("error", [ModelError("It broke."), RuntimeError("broke"), KeyboardInterrupt()])
def test_nothing_stays_of_a_run_that_ends_in_its_first_batch(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        measure(small(), tmp_path / "study", engine=Failing(1, error))
    assert list(tmp_path.iterdir()) == []


def test_nor_of_one_whose_model_cannot_be_moved(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="weights can be moved"):
        measure(small(), tmp_path / "study", engine=Failing(0, KeyboardInterrupt(), moves=False))
    assert list(tmp_path.iterdir()) == []


def test_what_was_measured_stays(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        measure(small(batch_size=1), tmp_path / "study", engine=Failing(2, RuntimeError()))
    with written_to(tmp_path / "study") as store:
        assert store.counts()["responses"] == 1


def test_a_test_of_language_and_a_number_at_a_point_are_measured_too(tmp_path: Path) -> None:
    judges = ["keyword/peng2024", "outcome"]
    with pytest.raises(RuntimeError):  # the first batch is that of the test
        measure(small(judges=judges), tmp_path / "calibrated", engine=Failing(2, RuntimeError()))
    assert (tmp_path / "calibrated" / folders.DATABASE).is_file()

    def number(store: StudyStore) -> None:
        store.add_question(points=[Point()], systems=[], decoding=Decoding())
        put_measurements(store, [StoredMeasurement(point=Point().key, name="kl", setting="a", value=0.0)])

    fail_after(number, tmp_path / "numbers")
    assert (tmp_path / "numbers" / folders.DATABASE).is_file()


def fail_after(work: Callable[[StudyStore], object], folder: Path) -> None:
    def run() -> None:
        with written_to(folder) as store:
            work(store)
            raise ZeroDivisionError

    with pytest.raises((ZeroDivisionError, StoreError)):
        run()


@pytest.mark.parametrize(
    "verb",
    [
        lambda out: api.map_basin(out=out, **NO_DEVICE),
        lambda out: api.audit(ALIGNED, BASE, out=out, options=NO_DEVICE),
    ],
    ids=["map", "audit"],
)
def test_a_folder_that_was_there_stays(tmp_path: Path, verb: Callable[[Path], object]) -> None:
    with pytest.raises(UsageError, match="device must be"):
        verb(tmp_path)
    assert tmp_path.is_dir()


def test_neighbours_that_came_meanwhile_stay(tmp_path: Path) -> None:
    fail_after(lambda _: (tmp_path / "runs" / "b").mkdir(), tmp_path / "runs" / "a" / "study")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["runs", "runs/b"]


def test_the_folder_of_another_writer_is_not_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folders.create(tmp_path / "study")
    monkeypatch.setattr(folders, "absent", lambda folder: (folder,))  # both began at once

    def begin() -> None:
        with written_to(folder):
            pass

    with folders.writer(folder), ThreadPoolExecutor(1) as threads, pytest.raises(StoreError, match="free of other"):
        threads.submit(begin).result()
    assert folder.is_dir()


def test_a_database_that_cannot_be_read_is_kept(tmp_path: Path) -> None:
    fail_after(lambda store: store.path.write_bytes(b"no database" * 1000), tmp_path / "study")
    assert (tmp_path / "study" / folders.DATABASE).is_file()


def test_what_cannot_be_merged_or_borrowed_from_leaves_nothing(tmp_path: Path) -> None:
    lender = measure(small(), tmp_path / "lender", engine=ScriptedEngine())
    borrow_origin(tmp_path / "borrower", lender, "another model")
    with pytest.raises(StoreError, match="folders of shards"):
        merge([lender], tmp_path / "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["lender"]
