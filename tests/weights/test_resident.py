"""Points summed on a device: the bits of the host, kept as far as they fit. Here the device is the CPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from helpers.models import make_tiny_model
from safebasin.records import DirectionSpec, Point
from safebasin.weights import philox
from safebasin.weights.base import HostWeights
from safebasin.weights.resident import OnDevice
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
