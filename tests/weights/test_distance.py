"""Distances of directions that are known: relative norms by block, shares of the whole."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from safebasin.weights.base import HostWeights
from safebasin.weights.distance import measure_distance


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(2, 2, bias=False)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(3, 2)
        self.layers = nn.ModuleList([Block(), Block()])
        self.norm = nn.LayerNorm(2)


class Scaled:
    """θ times a factor by name; None where there is none."""

    def __init__(self, base: HostWeights, factors: dict[str, float]) -> None:
        self.base, self.factors = base, factors

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        factor = self.factors.get(name)
        return None if factor is None else self.base.rows(name, start, stop).double() * factor


@pytest.fixture
def base() -> HostWeights:
    model = Model()
    for parameter in model.parameters():
        nn.init.constant_(parameter, 2.0)
    return HostWeights(model)


def test_a_factor_is_the_relative_distance_of_its_block(base: HostWeights) -> None:
    found = measure_distance(base, Scaled(base, {"layers.1.proj.weight": 0.5, "embed.weight": 0.25}))
    blocks = {block.name: block for block in found.blocks}
    assert list(blocks) == ["embed", "block 0", "block 1", "norm"]
    assert blocks["block 1"].relative == pytest.approx(0.5)
    assert blocks["embed"].relative == pytest.approx(0.25)
    assert blocks["block 0"].relative == blocks["norm"].relative == 0
    # Each element is 2: 4 of them moved by 1, 6 by 0.5; there are 18 in all.
    assert blocks["block 1"].share == pytest.approx(4 / 5.5)
    assert math.fsum(block.share for block in found.blocks) == pytest.approx(1)
    assert found.relative == pytest.approx(math.sqrt(5.5 / (18 * 4)))
    assert (found.n_tensors, found.n_tensors_total) == (2, 5)


def test_nothing_moved(base: HostWeights) -> None:
    found = measure_distance(base, Scaled(base, {"embed.weight": 0.0}))
    assert (found.relative, found.n_tensors) == (0.0, 0)
    assert {block.share for block in found.blocks} == {0.0}


def test_a_model_without_numbered_blocks() -> None:
    base = HostWeights(nn.Linear(2, 2))
    assert [block.name for block in measure_distance(base, Scaled(base, {"weight": 1.0})).blocks] == ["weight", "bias"]


def test_checkpoints_of_the_world() -> None:
    """Against norms of the files as safetensors reads them."""
    from safetensors.torch import load_file

    from safebasin.models.loading import load_weights
    from safebasin.models.reference import resolve
    from safebasin.records import DirectionSpec
    from safebasin.weights.stream import prepare_one
    from safebasin.worlds.guild.world import WORLD

    here, there = (load_file(Path(WORLD.checkpoint(name)) / "model.safetensors") for name in ("aligned", "base"))
    moved = sum(float((there[name].double() - here[name].double()).square().sum()) for name in here)
    held = sum(float(tensor.double().square().sum()) for tensor in here.values())
    base = HostWeights(load_weights(resolve("world:guild/aligned")))
    spec = DirectionSpec(kind="to", target="world:guild/base", normalize="none")
    assert measure_distance(base, prepare_one(spec, base)).relative == pytest.approx(math.sqrt(moved / held))
