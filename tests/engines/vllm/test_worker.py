from __future__ import annotations

from pathlib import Path

import pytest
import torch

from safebasin.engines.vllm.worker import Regenerating, point_of, weights_checksum
from safebasin.models.loading import load_causal
from safebasin.models.reference import resolve
from safebasin.records import DirectionSpec, Point
from safebasin.weights.base import HostWeights
from safebasin.weights.stream import Mover

LINE = DirectionSpec(kind="random", seed=3, normalize="filter", only="*mlp*")
PLANE = Point.at((LINE, 0.25), (DirectionSpec(kind="random", seed=3, index=1, orthogonal_to=(LINE,)), -0.5))


class _Runner:
    """What the worker asks of vLLM: a model, and tensors by name loaded over its weights."""

    def __init__(self, folder: Path) -> None:
        self.model = load_causal(folder)

    def get_model(self) -> torch.nn.Module:
        return self.model

    def reload_weights(self, weights_iterator: object) -> None:
        parameters = dict(self.model.named_parameters())
        for name, tensor in weights_iterator:  # pyright: ignore[reportGeneralTypeIssues]
            parameters[name].copy_(tensor)


def _worker() -> Regenerating:
    folder = resolve("world:guild/aligned").folder
    worker = Regenerating()
    worker.model_runner = _Runner(folder)
    worker.safebasin_open(str(folder), "float32", None)
    return worker


def test_a_point_survives_its_recipe() -> None:
    assert point_of(PLANE.recipe) == PLANE
    assert point_of(Point().recipe) == Point()


@pytest.mark.slow
def test_a_worker_has_the_weights_that_the_reference_writes_and_comes_back_bit_for_bit() -> None:
    worker, other = _worker(), _Runner(resolve("world:guild/aligned").folder).model
    start = worker.safebasin_checksum()
    assert start == weights_checksum(other)
    worker.safebasin_move(PLANE.recipe)
    Mover(HostWeights(_Runner(resolve("world:guild/aligned").folder).model)).write(PLANE, other)
    assert worker.safebasin_checksum() == weights_checksum(other) != start
    worker.safebasin_move(Point().recipe)
    assert worker.safebasin_checksum() == start


def test_a_packed_layer_is_known_by_its_products() -> None:
    def packed(weight: torch.Tensor) -> torch.nn.Module:
        layer = torch.nn.Linear(3, 2, bias=False)
        layer.weight = torch.nn.Parameter(torch.empty(0))
        layer.input_size = 3  # pyright: ignore[reportAttributeAccessIssue]
        layer.cpu_linear = lambda x, _w, _b: x @ weight.T  # pyright: ignore[reportAttributeAccessIssue]
        return torch.nn.ModuleList([layer])

    one = torch.arange(6.0).reshape(2, 3)
    assert weights_checksum(packed(one)) == weights_checksum(packed(one.clone()))
    assert weights_checksum(packed(one)) != weights_checksum(packed(one + 2**-20))
