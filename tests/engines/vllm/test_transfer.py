"""The engine that vLLM is given, with what it calls of vLLM replaced; on a real one: `test_engine`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from safebasin.engines.vllm.worker import weights_checksum
from safebasin.errors import UsageError
from safebasin.models.loading import load_causal
from safebasin.models.reference import resolve
from safebasin.records import DirectionSpec, Point
from safebasin.weights.base import HostWeights
from safebasin.weights.stream import Mover

POINT = Point.at((DirectionSpec(kind="random", seed=3, normalize="filter"), 0.25))
TRANSFER = "safebasin.engines.vllm.transfer"


class _Base:
    """What the engine takes from vLLM's: the model, and infos from dicts."""

    init_info_cls: Any
    update_info_cls: Any

    def __init__(self, model: torch.nn.Module) -> None:
        self.model, self.model_config = model, None

    def init(self, **info: object) -> None:
        self.init_transfer_engine(self.init_info_cls(**info))  # pyright: ignore[reportAttributeAccessIssue]

    def update(self, **info: object) -> None:
        self.start_weight_update()  # pyright: ignore[reportAttributeAccessIssue]
        self.receive_weights(self.update_info_cls(**info))  # pyright: ignore[reportAttributeAccessIssue]
        self.finish_weight_update()  # pyright: ignore[reportAttributeAccessIssue]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is called of vLLM's reload, in order."""
    made: list[str] = []
    base = {"WeightTransferEngine": _Base, "WeightTransferInitInfo": object, "WeightTransferUpdateInfo": object}
    reload = {
        "initialize_layerwise_reload": lambda model: made.append("opened"),
        "finalize_layerwise_reload": lambda model, config: made.append("closed"),
    }
    for path, contents in (
        ("vllm.distributed.weight_transfer.base", base),
        ("vllm.model_executor.model_loader.reload", reload),
    ):
        parts = path.split(".")
        for depth in range(1, len(parts)):
            monkeypatch.setitem(sys.modules, ".".join(parts[:depth]), ModuleType(path))
        monkeypatch.setitem(sys.modules, path, SimpleNamespace(**contents))
    monkeypatch.delitem(sys.modules, TRANSFER, raising=False)
    yield made
    sys.modules.pop(TRANSFER, None)


class _Model:
    """A model that takes tensors by name, as those of vLLM do."""

    def __init__(self, folder: Path) -> None:
        self.module = load_causal(folder)

    def modules(self) -> Iterator[torch.nn.Module]:
        return self.module.modules()

    def load_weights(self, weights: Iterator[tuple[str, torch.Tensor]]) -> None:
        parameters = dict(self.module.named_parameters())
        for name, tensor in weights:
            parameters[name].copy_(tensor)


def _engine(folder: Path) -> Any:
    engine = importlib.import_module(TRANSFER).Regenerated(_Model(folder))
    engine.init(folder=str(folder), dtype="float32")
    return engine


def test_from_a_recipe_it_makes_the_weights_of_the_point_and_those_of_the_origin_again(calls: list[str]) -> None:
    folder = resolve("world:guild/aligned").folder
    engine, other = _engine(folder), load_causal(folder)
    start = weights_checksum(engine.model.module)
    engine.update(recipe=POINT.recipe)
    Mover(HostWeights(load_causal(folder))).write(POINT, other)
    assert weights_checksum(engine.model.module) == weights_checksum(other) != start
    engine.update(recipe=Point().recipe)
    assert weights_checksum(engine.model.module) == start
    assert calls == ["opened", "closed"] * 2


def test_a_point_that_does_not_fit_is_refused_before_a_layer_is_opened(calls: list[str]) -> None:
    engine = _engine(resolve("world:guild/aligned").folder)
    with pytest.raises(UsageError, match="direction"):
        engine.update(recipe=Point.at((DirectionSpec(kind="unheard-of", seed=0), 0.5)).recipe)
    assert calls == []


def test_it_must_be_told_of_the_origin_first_and_lets_go_of_it(calls: list[str]) -> None:
    engine = _engine(resolve("world:guild/aligned").folder)
    engine.shutdown()
    with pytest.raises(RuntimeError, match="init_weight_transfer_engine"):
        engine.update(recipe=POINT.recipe)
    assert calls == []
