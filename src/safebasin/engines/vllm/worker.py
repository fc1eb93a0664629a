"""Inside a worker of vLLM: θ₀ as transformers reads it, the weights of a point made from its recipe, checksums.

vLLM mixes `Regenerating` into the class of its workers and calls its methods by name; only a recipe, as JSON, crosses.
Where vLLM lets an engine be registered that brings weights, `transfer` moves, and what is left to do here is checksums.
Names and shapes are those of transformers, whatever vLLM fuses or shards: it cuts what it is given, so that a direction
is the same on any number of devices.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, cast

import torch

from safebasin.models.loading import load_causal
from safebasin.records import DirectionSpec, Point
from safebasin.weights.adapters import merge_adapter
from safebasin.weights.base import HostWeights
from safebasin.weights.stream import Mover

__all__ = ["Regenerating", "origin", "point_of", "repack_tied", "weights_checksum"]

_PROBES = 4


class Regenerating:
    """The methods that a worker has beside vLLM's own; its names are the project's, so that none is vLLM's."""

    model_runner: Any
    """vLLM's."""

    def safebasin_open(self, folder: str, dtype: str, adapter: str | None) -> None:
        """Read θ₀ into host memory (`origin`), once: a weight-transfer engine that has it lets go of it."""
        transfer = getattr(self, "weight_transfer_engine", None)
        if transfer is not None:
            transfer.shutdown()
        self._safebasin = origin(folder, dtype, adapter)

    def safebasin_move(self, recipe: str) -> None:
        """Load the weights of a point, computed from θ₀, over those that are there."""
        with torch.no_grad():
            self.model_runner.reload_weights(weights_iterator=self._safebasin.tensors(point_of(recipe)))
            repack_tied(self.model_runner.get_model())

    def safebasin_checksum(self) -> str:
        """SHA-256 of what the model holds now (`weights_checksum`)."""
        return weights_checksum(self.model_runner.get_model())


def origin(folder: str, dtype: str, adapter: str | None) -> Mover:
    """Read θ₀ into host memory, and what makes the weights of points from it.

    Args:
        folder: of the checkpoint.
        dtype: in which vLLM holds it.
        adapter: folder of an adapter that belongs to θ₀, or None.
    """
    module = load_causal(Path(folder), dtype=getattr(torch, dtype))
    if adapter is not None:
        merge_adapter(module, Path(adapter))
    return Mover(HostWeights(module.requires_grad_(requires_grad=False), folder=Path(folder), copy=False))


def point_of(recipe: str) -> Point:
    """The point of `Point.recipe`."""
    terms = json.loads(recipe)
    return Point(terms=tuple((DirectionSpec.from_record(spec), float(alpha)) for spec, alpha in terms))


def repack_tied(module: torch.nn.Module) -> None:
    """Pack anew what vLLM's CPU build packs beside a weight that stays: a head tied to the embedding.

    The reload leaves it with the matrix of the last point: no tensor of its own was loaded.
    """
    for layer in module.modules():
        if getattr(layer, "cpu_linear", None) is not None and cast("torch.Tensor", layer.weight).numel():
            from vllm.model_executor.layers.utils import (  # pyright: ignore[reportMissingImports]
                dispatch_cpu_unquantized_gemm,
            )

            dispatch_cpu_unquantized_gemm(layer, remove_weight=False)


def weights_checksum(module: torch.nn.Module) -> str:
    """SHA-256 over a module's parameters, and over what its packed layers make of fixed inputs.

    vLLM's CPU build packs matrices where no tensor shows them, and leaves an empty parameter behind: such a layer is
    known by its products.
    """
    total = hashlib.sha256()
    for name, parameter in module.named_parameters():
        _add(total, name, parameter)
    for name, layer in module.named_modules():
        packed, width = cast("Any", getattr(layer, "cpu_linear", None)), _width(layer)
        if packed is not None and width:
            weight = cast("torch.Tensor", layer.weight)
            probe = torch.randn(_PROBES, width, generator=torch.Generator().manual_seed(0)).to(weight.dtype)
            _add(total, f"{name} packed", packed(probe, weight, None))
    return total.hexdigest()


def _width(layer: torch.nn.Module) -> int:
    found = (getattr(layer, key, None) for key in ("input_size_per_partition", "input_size", "embedding_dim"))
    return next((width for width in found if isinstance(width, int)), 0)


def _add(total: Any, name: str, tensor: torch.Tensor) -> None:
    total.update(f"{name}\0{tuple(tensor.shape)}\0{tensor.dtype}".encode())
    total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
