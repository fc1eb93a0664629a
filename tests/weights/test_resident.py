"""Points summed on a device: the bits of the host, kept as far as they fit. Here the device is the CPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from helpers.models import make_tiny_model
from safebasin import memory
from safebasin.records import DirectionSpec, Point
from safebasin.weights import philox, resident
from safebasin.weights.base import HostWeights, open_base
from safebasin.weights.resident import OnDevice, pinnable_bytes
from safebasin.weights.stream import Mover, digest, prepare, weights_at, write

ONE = DirectionSpec(kind="random", seed=3, version=2)
TWO = replace(ONE, index=1, orthogonal_to=(ONE,))
POINTS = {
    "the origin": Point(),
    "a line": Point.at((ONE, 0.3)),
    "a line of the first version": Point.at((replace(ONE, version=1), 0.3)),
    "a sparse line": Point.at((replace(ONE, args=(("density", 0.2),)), 0.3)),
    "rows": Point.at((replace(ONE, normalize="filter"), 0.3)),
    "a plane": Point.at((ONE, 0.3), (TWO, -0.2)),
    "a scaled model": Point.at((DirectionSpec(kind="scale", target="1.2", normalize="none"), 0.5)),
    "a target": Point.at((DirectionSpec(kind="scale", target="1.2", normalize="none"), 1.0)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("m") / "llama", dtype="bfloat16", tied=True)


def load(folder: Path) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(folder)


@pytest.mark.parametrize("budget", [0, 30_000, 10**9])
@pytest.mark.parametrize("name", POINTS)
def test_a_point_has_the_bits_of_the_host_wherever_it_is_summed(folder: Path, name: str, budget: int) -> None:
    module, point = load(folder), POINTS[name]
    base = HostWeights(module)
    deltas = prepare([spec for spec, _ in point.terms], base)
    wanted = digest(weights_at(base, point, deltas))
    there = OnDevice(base, torch.device("cpu"), budget_bytes=budget)
    for devices in ({}, {torch.device("cpu"): there}, {torch.device("cpu"): there}):
        write(base, point, deltas, module, devices=devices)
        assert digest(weights_at(HostWeights(module), Point(), {})) == wanted


def test_a_device_draws_once_what_fits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load(folder)
    base = HostWeights(module)
    deltas = prepare([ONE], base)
    drawn: list[str] = []
    real = philox.elements
    monkeypatch.setattr(philox, "elements", lambda *a, **k: (drawn.append(a[2]), real(*a, **k))[1])
    there = OnDevice(base, torch.device("cpu"), budget_bytes=10**9)
    for alpha in (0.1, 0.2):
        write(base, Point.at((ONE, alpha)), deltas, module, devices={torch.device("cpu"): there})
    assert sorted(drawn) == sorted(set(base.names) - set(base.excluded()))


class PageLocked:
    """Stands for page-locked memory, which needs CUDA: counts rows, and refuses after some of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, grants: int = 10**6) -> None:
        self.n_bytes: list[int] = []
        self.n_asked, self._grants = 0, grants
        monkeypatch.setattr(resident, "page_locked", self)

    def __call__(self, rows: torch.Tensor) -> torch.Tensor | None:
        self.n_asked += 1
        if self.n_asked > self._grants:
            return None
        self.n_bytes.append(rows.nbytes)
        return rows.clone()


def written(folder: Path, specs: list[DirectionSpec], *, pinned: int, budget: int = 0) -> int:
    """How often rows of θ₀ were read from the host in the second of two points that have the bits of the host."""
    module = load(folder)
    base = HostWeights(module)
    deltas = prepare(specs, base)
    there = OnDevice(base, torch.device("cpu"), budget_bytes=budget, pinned_bytes=pinned)
    read, real = [], base.rows
    for alpha in (0.1, 0.2):
        point = Point.at(*((spec, alpha) for spec in specs))
        wanted = digest(weights_at(base, point, deltas))
        base.rows = lambda *a: (read.append(a[0]), real(*a))[1]  # pyright: ignore[reportAttributeAccessIssue]
        read.clear()
        write(base, point, deltas, module, devices={torch.device("cpu"): there})
        base.rows = real
        assert digest(weights_at(HostWeights(module), Point(), {})) == wanted
    return len(read)


def test_what_does_not_fit_a_device_is_page_locked_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = PageLocked(monkeypatch)
    base = HostWeights(load(folder))
    assert written(folder, [ONE], pinned=10**9) == 0
    assert sum(locked.n_bytes) == sum(base.rows(name, 0, 10**9).nbytes for name in base.names), "θ₀, and nothing drawn"


def test_a_direction_that_no_device_draws_is_page_locked_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = PageLocked(monkeypatch)
    written(folder, [ONE], pinned=10**9)
    before = sum(locked.n_bytes)
    written(folder, [replace(ONE, version=1)], pinned=10**9)
    assert sum(locked.n_bytes) > 2 * before


def test_nothing_is_page_locked_that_fits_the_device_or_is_too_much(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = PageLocked(monkeypatch)
    written(folder, [ONE], pinned=10**9, budget=10**9)
    assert written(folder, [ONE], pinned=0) > 0
    assert locked.n_asked == 0
    assert written(folder, [ONE], pinned=20_000) > 0
    assert 0 < sum(locked.n_bytes) <= 20_000


def test_a_system_that_refuses_is_not_asked_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = PageLocked(monkeypatch, grants=2)
    n_tensors = len(HostWeights(load(folder)).names)
    assert written(folder, [ONE], pinned=10**9) == n_tensors - 2, "what was granted is used, the rest comes as before"
    assert locked.n_asked == 3


@pytest.mark.skipif(torch.cuda.is_available(), reason="only where no memory can be page-locked")
def test_without_cuda_no_memory_is_page_locked() -> None:
    assert resident.page_locked(torch.ones(3)) is None


def test_a_share_of_the_memory_may_be_page_locked_unless_weights_stay_in_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available", lambda: 1000)
    module = load(folder)
    assert pinnable_bytes(open_base(module, folder, low_memory=False)) == 100
    assert pinnable_bytes(open_base(module, folder, low_memory=True)) == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", POINTS)
def test_cuda_has_the_bits_of_the_host(folder: Path, name: str) -> None:
    module, point = load(folder), POINTS[name]
    base = HostWeights(module)
    wanted = digest(weights_at(base, point, prepare([spec for spec, _ in point.terms], base)))
    mover = Mover(base)
    for _ in range(2):
        mover.write(point, module.cuda())
        assert digest(weights_at(HostWeights(module), Point(), {})) == wanted


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_has_the_bits_of_the_host_from_page_locked_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, point = load(folder), POINTS["a plane"]
    base = HostWeights(module)
    deltas = prepare([spec for spec, _ in point.terms], base)
    wanted = digest(weights_at(base, point, deltas))
    locked: list[torch.Tensor | None] = []
    real = resident.page_locked
    monkeypatch.setattr(resident, "page_locked", lambda rows: (locked.append(real(rows)), locked[-1])[1])
    module.cuda()
    device = next(module.parameters()).device
    there = OnDevice(base, device, budget_bytes=0, pinned_bytes=10**9)
    for _ in range(2):
        write(base, point, deltas, module, devices={device: there})
        assert digest(weights_at(HostWeights(module), Point(), {})) == wanted
    assert locked
    assert all(rows is not None and rows.is_pinned() for rows in locked)
