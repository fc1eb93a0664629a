"""Several processes: the same results as one, bit for bit, a worker killed in mid-run included."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from safebasin import catalog, study
from safebasin.engines.scripted import ScriptedEngine
from safebasin.errors import ModelError, UnknownName, UsageError
from safebasin.models import spreading
from safebasin.protocols import EngineSpec, Generate, Results, Split, Task
from safebasin.records import Decoding, DirectionSpec, Message, Point, Prompt, System
from safebasin.run import crew, processes
from safebasin.run.crew import Crew, Served
from safebasin.run.execute import measure
from safebasin.run.processes import Child, Processes, open_processes
from safebasin.store.db import StudyStore

GUILD = "world:guild/aligned"
SCRIPTED = EngineSpec(engine="scripted", model=GUILD)
HF = EngineSpec(model=GUILD, device="cpu")
LINE = DirectionSpec(kind="random", seed=1)
HOW = Decoding(max_new_tokens=12)


def tasks(n_points: int = 4) -> list[Task]:
    """Two batches at each of some points."""
    asked = [Prompt(messages=(Message(role="user", content=f"How are {n} jars weighed?"),)) for n in range(4)]
    return [
        Generate(
            point=Point.at((LINE, 0.2 * at)), system=System(name="default"), prompts=tuple(part), decoding=HOW, batch=n
        )
        for at in range(n_points)
        for n, part in enumerate((asked[:2], asked[2:]))
    ]


@pytest.fixture
def opened() -> Iterator[list[Crew]]:
    """Backends to be closed."""
    found: list[Crew] = []
    yield found
    for backend in found:
        backend.close()


def pids(backend: Crew) -> tuple[int, ...]:
    """Process ids of its workers."""
    return tuple(hand.pid for hand in backend.hands if isinstance(hand, Child))


def done(backend: object) -> dict[Task, Results | Split]:
    return dict(backend.run(iter(tasks())))  # type: ignore[attr-defined]


def _tell_gpus(connection: Connection, spec: EngineSpec) -> None:
    """In a worker: say which GPUs it sees."""
    connection.send((True, os.environ["CUDA_VISIBLE_DEVICES"]))
    connection.recv()


# --- without processes -----------------------------------------------------------------------------------------------


def test_workers_that_make_no_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.os, "cpu_count", lambda: 2)
    for wanted in (0, -1, 3):
        with pytest.raises(UsageError, match=f"--workers must be from 1 to 2, this machine's processors; got {wanted}"):
            open_processes(SCRIPTED, wanted)
    monkeypatch.setattr(processes, "_weights_bytes", lambda model, dtype: 2**50)
    with pytest.raises(UsageError, match=r"--workers must be at most 1, for each holds.*got 2. Take fewer"):
        open_processes(SCRIPTED, 2)
    with pytest.raises(UsageError, match="--workers must be 1 with the backend 'local'; got 2"):
        catalog.open_backend("local", SCRIPTED, 2)


def test_every_worker_has_gpus_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def groups(count: int, *, size: int = 1, device: str = "auto", engine: str = "hf") -> tuple[str, ...]:
        monkeypatch.setattr(spreading, "n_gpus", lambda: count)
        return processes.gpu_groups(EngineSpec(model=GUILD, device=device, gpus_per_worker=size, engine=engine))

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert (groups(0), groups(4, device="cpu"), groups(4, device="cuda:1")) == ((), (), ())
    assert groups(3) == ("0", "1", "2")
    assert groups(5, size=2) == ("0,1", "2,3"), "one is left over"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-17,5,6")
    assert groups(4, size=2, device="cuda") == ("3,GPU-17", "5,6")
    with pytest.raises(UsageError, match="--gpus-per-worker must be at most 4, the GPUs that this process sees; got 5"):
        groups(4, size=5)
    with pytest.raises(UsageError, match="--gpus-per-worker must be 1 with vllm in several processes; got 2"):
        groups(4, size=2, engine="vllm")


def test_more_workers_than_there_are_gpus_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreading, "n_gpus", lambda: 4)
    spec = EngineSpec(model=GUILD, gpus_per_worker=2)
    with pytest.raises(UsageError, match="--workers must be from 1 to 2, this machine's GPUs by 2 a worker; got 3"):
        open_processes(spec, 3)
    assert open_processes(spec)._size == 2


@pytest.mark.slow
def test_a_worker_sees_its_gpus_and_whoever_replaces_it_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(processes, "_serve", _tell_gpus)
    shop = Processes(SCRIPTED, groups=("0,1", "2,3"))
    first, second = shop.start(), shop.start()
    assert [first.take()[1], second.take()[1]] == ["0,1", "2,3"]
    first.end(kindly=False)
    third = shop.start()
    assert third.take()[1] == "0,1"
    for hand in (second, third):
        hand.end(kindly=False)
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_backends_and_engines_that_are_not_there(tmp_path: Path) -> None:
    made = study.make({"model": GUILD, "limit": 2})
    with pytest.raises(UnknownName, match=r"backend must be one of local, processes, ray; got 'process'. Did you mean"):
        measure(made, tmp_path / "study", backend="process")
    with pytest.raises(UnknownName, match="engine must be one of hf, scripted, vllm; got 'sglang'"):
        measure(study.make({"model": GUILD, "engine": "sglang"}), tmp_path / "study")
    with pytest.raises(UsageError, match="a ready engine must be run by one worker in this process"):
        measure(made, tmp_path / "study", engine=ScriptedEngine(), backend="processes")
    assert not (tmp_path / "study").exists()


def test_an_engine_is_not_given_what_it_does_not_know() -> None:
    for setting, value in (("low_memory", True), ("gpus_per_worker", 2)):
        with pytest.raises(UsageError, match=f"{setting} with the engine 'scripted' must be left out; got {value}"):
            catalog.open_engine(EngineSpec(engine="scripted", model=GUILD, **{setting: value}))


def test_errors_survive_the_way() -> None:
    class Odd(ModelError):
        def __init__(self, what: str, value: str) -> None:
            super().__init__(f"{what}: {value}")

    assert str(crew._sendable(ModelError("a model"))) == "a model"
    assert type(crew._sendable(ModelError("a model"))) is ModelError
    assert type(crew._sendable(Odd("a", "model"))) is UsageError
    assert str(crew._sendable(Odd("a", "model"))) == "a: model"
    assert crew._sendable(ValueError("a defect")).__notes__, "where it was raised"


# --- with processes --------------------------------------------------------------------------------------------------


def test_the_tasks_of_a_point_stay_together_and_few_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "TOGETHER", 3)
    taken: list[Task] = []
    given = [*tasks(1), *tasks(2)[2:], *tasks(2)[2:]]
    parts = crew._by_point(taken.append(task) or task for task in given)
    assert list(next(parts)) == given[:2]
    assert len(taken) == 3, "no more is taken than tells that the point has ended"
    assert [list(part) for part in parts] == [given[2:5], given[5:]]


@pytest.mark.slow
def test_tasks_are_done_as_in_one_process(opened: list[Crew]) -> None:
    backend = Crew(Processes(SCRIPTED), 2)
    opened.append(backend)
    local = catalog.open_backend("local", SCRIPTED)
    assert backend.facts() == local.facts()
    assert done(backend) == done(local)
    assert len(set(pids(backend))) == 2
    assert done(backend) == done(local), "workers stay for the next tasks"


@pytest.mark.slow
def test_workers_begin_with_their_threads_though_torch_is_loaded_here(
    opened: list[Crew], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")  # so that the parent has it, whoever ran before
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "KMP_BLOCKTIME"):
        monkeypatch.delenv(name, raising=False)
    opened.append(Crew(Processes(SCRIPTED, 1), 1))
    opened[0].facts()
    (pid,) = pids(opened[0])
    given = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    assert {"OMP_NUM_THREADS=1", "OMP_WAIT_POLICY=PASSIVE"} <= set(given)
    assert "OMP_NUM_THREADS" not in os.environ


@pytest.mark.slow
def test_tasks_are_taken_as_they_are_needed(opened: list[Crew], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "TOGETHER", 2)
    backend = Crew(Processes(SCRIPTED), 1)
    opened.append(backend)
    given, taken = tasks(1) * 4, list[Task]()
    next(backend.run(taken.append(task) or task for task in given))
    assert len(taken) == 2, "a study whose texts are all asked at one point is not held as a whole"


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(opened: list[Crew]) -> None:
    backend = Crew(Processes(HF), 2)
    opened.append(backend)
    found: dict[Task, Results | Split] = {}
    before: tuple[int, ...] = ()
    for task, rows in backend.run(iter(tasks(6))):
        if not found:
            before = pids(backend)
            os.kill(before[-1], signal.SIGKILL)
        found[task] = rows
    assert found == dict(catalog.open_backend("local", HF).run(iter(tasks(6))))
    assert set(pids(backend)) != set(before)


@pytest.mark.slow
def test_a_task_that_kills_its_workers_is_given_up(opened: list[Crew], monkeypatch) -> None:
    backend = Crew(Processes(SCRIPTED), 1)
    opened.append(backend)
    start = Processes.start

    def dying(shop: Processes) -> Child:
        child = start(shop)
        child.process.kill()
        return child

    monkeypatch.setattr(Processes, "start", dying)
    with pytest.raises(ModelError, match="workers must be alive until their task is done; got '3 that ended with"):
        done(backend)


@pytest.mark.slow
def test_workers_that_nobody_ended_do_not_hold_up_the_end_of_their_owner() -> None:
    code = (
        "from safebasin.protocols import EngineSpec\n"
        "from safebasin.run.processes import Processes\n"
        "if __name__ == '__main__':\n"
        f"    child = Processes(EngineSpec(engine='scripted', model={GUILD!r})).start()\n"
        "    child.give(('facts',))\n"
        "    print(child.take()[0])\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (told.returncode, told.stdout) == (0, "True\n"), told.stderr


@pytest.mark.slow
def test_what_a_worker_raises_is_raised_here(opened: list[Crew]) -> None:
    backend = Crew(Processes(EngineSpec(model="nowhere/to-be-found")), 1)
    opened.append(backend)
    with pytest.raises(ModelError, match="nowhere/to-be-found"):
        backend.facts()


def test_a_worker_goes_seldom_through_objects_that_live_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = Pipe()
    monkeypatch.setattr(processes.signal, "signal", lambda *_: None)
    monkeypatch.setattr(Served, "answer", lambda *_: (True, gc.get_threshold()[0]))
    for asked in ("a task", None):
        ours.send(asked)
    processes._serve(theirs, SCRIPTED)
    assert ours.recv() == (True, 10_000)


@pytest.mark.slow
def test_a_script_that_every_worker_would_run_is_told_what_to_change(tmp_path: Path) -> None:
    run = (
        "safebasin.map_basin('world:guild/aligned', out='study', limit=2, directions=1, backend='processes', workers=2)"
    )
    (tmp_path / "script.py").write_text(f"import safebasin\n{run}\n")
    told = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert told.returncode != 0
    assert "if __name__ == '__main__':" in told.stderr.splitlines()[-1]


@pytest.mark.slow
def test_a_study_is_the_same_on_two_workers_one_of_which_is_killed(tmp_path: Path) -> None:
    keys = {
        "model": GUILD,
        "device": "cpu",
        "limit": 6,
        "systems": ["default", "none"],
        "axes": [{"range": "-1:1:5", "directions": 1}],
        "batch_size": 3,
        "decoding": {"max_new_tokens": 16},
        "capability": {"texts": [str(text(tmp_path))]},
    }
    made = study.make(keys)
    alone = measure(made, tmp_path / "local")
    killed: list[int] = []

    def kill_one(tick) -> None:  # type: ignore[no-untyped-def]
        import multiprocessing

        if tick.stage == "generate" and not killed:
            victim = multiprocessing.active_children()[-1]
            killed.append(victim.pid or 0)
            victim.kill()

    together = measure(made, tmp_path / "processes", backend="processes", workers=2, progress=kill_one)
    assert killed
    assert rows(together) == rows(alone)


def text(folder: Path) -> Path:
    file = folder / "tea.txt"
    file.write_text("Warm the pot, let it draw for four minutes, and pour it through a sieve. " * 3)
    return file


def rows(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """Everything that was measured in a folder, but for when."""
    with StudyStore.open(folder) as store, store.reading() as db:
        return {
            "responses": db.execute(
                "SELECT key, text, thinking, n_tokens, finish_reason, broken, gap FROM responses ORDER BY key"
            ).fetchall(),
            "scores": db.execute("SELECT response, nll, ends FROM scores ORDER BY response").fetchall(),
            "verdicts": db.execute(
                "SELECT response, judge, version, label, success FROM verdicts ORDER BY 1, 2, 3"
            ).fetchall(),
            "measurements": db.execute(
                "SELECT point, name, setting, value, error, n FROM measurements ORDER BY 1, 2"
            ).fetchall(),
        }
