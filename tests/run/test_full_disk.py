"""A disk that is full where a worker writes: one line, and a study that goes on."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from safebasin import catalog, study
from safebasin.engines.scripted import ScriptedEngine
from safebasin.errors import ModelError, UsageError
from safebasin.protocols import EngineSpec, Generation
from safebasin.records import Decoding, Message
from safebasin.run import cluster, full_disk, processes
from safebasin.run.execute import measure
from safebasin.store.db import StudyStore

PLAN: dict[str, Any] = {
    "model": "world:guild/aligned",
    "engine": "scripted",
    "limit": 4,
    "axes": [{"range": "-1:1:5", "directions": 1}],
    "batch_size": 2,
    "judges": ["keyword/peng2024"],
    "decoding": {"max_new_tokens": 8},
}
ROOM = "SAFEBASIN_TEST_ROOM"


def test_what_is_said_of_a_full_disk() -> None:
    said = full_disk.full_disk(OSError(errno.ENOSPC, "No space left on device", "/scratch/made/model.safetensors"))
    assert said is not None
    assert str(said).startswith(
        "the disk of /scratch/made, a worker's folder, must be one with room; got \"[Errno 28] No"
    )
    assert "TMPDIR" in str(said)
    assert str(said).endswith("then run the same command again: what was measured is kept.")
    assert "\n" not in str(said)


def test_errors_of_other_kinds_and_what_is_said_already() -> None:
    assert full_disk.full_disk(OSError(errno.ENOENT, "No such file or directory", "/x")) is None
    assert full_disk.full_disk(ValueError("too large")) is None
    assert full_disk.full_disk(ModelError("model must be small; got 'File too large'. Mend it.")) is None


def test_libraries_say_it_in_their_own_words_and_wrapped() -> None:
    inner = RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    outer = ModelError("model must be one that can be written; got 'm'.")
    outer.__cause__ = inner
    assert "No space left on device (os error 28)" in str(full_disk.full_disk(outer))


def test_a_write_that_names_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The folder is then the one of a worker's that has no room."""
    device = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space left") as full:
        os.write(device, b"x")
    os.close(device)
    usage = {str(tmp_path): SimpleNamespace(total=100, free=0)}
    for name in full_disk._CACHES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(full_disk.shutil, "disk_usage", lambda folder: usage[str(folder)])
    assert str(full_disk.full_disk(full.value)).startswith(f"the disk of {tmp_path}, a worker's folder, must be")
    (tmp_path / "hub").mkdir()
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    usage[str(tmp_path / "hub")] = SimpleNamespace(total=100, free=50)
    assert str(full_disk.full_disk(full.value)).startswith(f"the disk of {tmp_path}, a worker's folder, must be")
    usage[str(tmp_path)].free = 50
    assert f"the disk of {tmp_path} or {tmp_path}/hub, a worker's" in str(full_disk.full_disk(full.value))


def test_ray_says_that_the_disk_of_its_own_folder_is_full() -> None:
    class Full(Exception):
        pass

    def get(_: object) -> None:
        raise Full("Local disk is full\nThe object cannot be created")

    kinds = dict.fromkeys(
        (
            "RayActorError",
            "WorkerCrashedError",
            "NodeDiedError",
            "ObjectLostError",
            "OutOfMemoryError",
            "ActorUnschedulableError",
        ),
        ZeroDivisionError,
    )
    errors = SimpleNamespace(**kinds, OutOfDiskError=Full, ObjectStoreFullError=Full)
    actor = SimpleNamespace(hello=SimpleNamespace(remote=lambda: None))
    worker = cluster.Remote(actor, SimpleNamespace(exceptions=errors, get=get, wait=lambda *_, **__: ([], [])))
    with pytest.raises(UsageError, match=r"Ray's own folder .* one with room; got 'Local disk is full'.*--temp-dir"):
        worker.take()


# --- with workers ----------------------------------------------------------------------------------------------------


class Scratching(ScriptedEngine):
    """An engine that writes 10 kB to the temporary folder with each batch."""

    def generate(self, conversations: Sequence[Sequence[Message]], decoding: Decoding) -> list[Generation]:
        with Path(os.environ["TMPDIR"], "kept").open("ab") as kept:
            kept.write(bytes(10_000))
        return super().generate(conversations, decoding)


def _serve_scratching(connection: Connection, spec: EngineSpec) -> None:
    """In a worker: the engine that writes, and a limit of what a file may take, where there is one."""
    if os.environ.get(ROOM):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(os.environ[ROOM]), resource.RLIM_INFINITY))
    vars(catalog)["open_engine"] = lambda _: Scratching()
    _SERVE(connection, spec)


_SERVE = processes._serve


def rows(folder: Path) -> list[tuple[object, ...]]:
    """The responses of a folder."""
    with StudyStore.open(folder) as store, store.reading() as db:
        return cast("list[tuple[object, ...]]", db.execute("SELECT key, text FROM responses ORDER BY key").fetchall())


@pytest.fixture
def full(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder for workers with room for three batches: a limit on files, or a disk that small."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    for name in full_disk._CACHES:
        monkeypatch.delenv(name, raising=False)
    if request.param == "limit":
        monkeypatch.setenv(ROOM, "35000")
        yield folder
        return
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits and mounts of Linux")
@pytest.mark.parametrize("full", ["limit", "tmpfs"], indirect=True)
def test_what_was_measured_stays_and_the_same_command_goes_on(
    full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_serve", _serve_scratching)
    made = study.make(PLAN)
    with pytest.raises(UsageError, match=f"the disk of {full}, a worker's folder, must be one with room") as ended:
        measure(made, tmp_path / "study", backend="processes", workers=1)
    assert "\n" not in str(ended.value)
    kept = rows(tmp_path / "study")
    assert 0 < len(kept) < 20
    # more room, and the same command
    (full / "kept").unlink()
    monkeypatch.setenv(ROOM, "")
    monkeypatch.setattr(processes, "_serve", _SERVE)
    measure(made, tmp_path / "study", backend="processes", workers=1)
    measure(made, tmp_path / "whole")
    assert set(kept) < set(rows(tmp_path / "study"))
    assert rows(tmp_path / "study") == rows(tmp_path / "whole")
