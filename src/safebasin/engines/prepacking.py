"""Products with weights laid out for the processor: float32 models on a CPU read them as MKL or oneDNN wants them.

A pass of decoding multiplies few rows with every weight. The general product first lays the weights out, at each pass
anew; here that is done once a point. What comes out is the same sum in another order.

Not for small models and layers, where a call costs more than it saves, nor for other devices and dtypes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal, cast

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel

from safebasin import memory
from safebasin.engines.kernels import SMALL, processor_text
from safebasin.models.files import memory_errors
from safebasin.models.spreading import devices_of

__all__ = ["Prepacking"]

LARGE = 2**16
"""Weights of a layer from which it is prepacked, in a model that is not `SMALL`: what a cache holds is fast anyway."""
MOST_BYTES = 4 * 2**30
"""What prepacked weights may take beside the model's own …"""
_SHARE = 1 / 8
"""… and of all memory, whatever is free: last bits must not depend on who else runs, nor differ between workers."""
_ROWS = 128
"""Rows for which a layout is to be chosen. oneDNN takes the same one for any number; MKL's for 128 is as fast for fewer
rows as theirs, and faster for more."""
_FEWEST = 4
"""Rows of a product of oneDNN: fewer are filled up, since a product of one row takes longer than of four."""

Library = Literal["mkl", "onednn"]
Product = Callable[[torch.Tensor], torch.Tensor]


class Prepacking:
    """The large linear layers of a model, prepacked when they are first wanted and until they are forgotten.

    Args:
        model: any; what is not float32 on a CPU, and what would take too much memory, stays as it is.
        wanted: False where no more memory than needed is to be taken.
    """

    def __init__(self, model: PreTrainedModel, *, wanted: bool) -> None:
        self._model = model
        self.library: Library | None = _library() if wanted and _can_be(model) else None
        """What lays them out and multiplies; None where the model computes as it is."""
        self._products: list[tuple[nn.Linear, Product]] = []

    def forget(self) -> None:
        """The weights have changed, or will."""
        self._products = []

    @contextmanager
    def used(self) -> Generator[None]:
        """In the block the layers compute with what is prepacked.

        Raises:
            MemoryError: where there is none for it.
        """
        if self.library is not None and not self._products:
            pack = _PRODUCTS[self.library]
            with memory_errors(), torch.inference_mode():
                self._products = [(layer, pack(layer)) for layer in _layers(self._model)]
        try:
            for layer, product in self._products:
                vars(layer)["forward"] = product
            yield
        finally:
            for layer, _ in self._products:
                vars(layer).pop("forward", None)


def _can_be(model: PreTrainedModel) -> bool:
    if [device.type for device in devices_of(model)] != ["cpu"] or model.num_parameters() < SMALL:
        return False
    needed = sum(layer.weight.nbytes for layer in _layers(model))
    return 0 < needed <= min(MOST_BYTES, _SHARE * memory.total())


def _layers(model: PreTrainedModel) -> list[nn.Linear]:
    found = [module for module in model.modules() if type(module) is nn.Linear and "forward" not in vars(module)]
    return [f for f in found if f.weight.numel() >= LARGE and f.weight.dtype == torch.float32]


def _mkl(layer: nn.Linear) -> Product:
    operations = cast("Any", torch.ops.mkl)
    weight, bias = layer.weight.detach(), layer.bias
    packed = operations._mkl_reorder_linear_weight(weight, _ROWS)

    def product(x: torch.Tensor) -> torch.Tensor:
        # told that it was packed for as many rows, or it would multiply with the weight as it is
        return operations._mkl_linear(x, packed, weight, bias, x.numel() // x.shape[-1])

    return product


def _onednn(layer: nn.Linear) -> Product:
    operations = cast("Any", torch.ops.mkldnn)
    packed, bias = operations._reorder_linear_weight(layer.weight.detach(), _ROWS), layer.bias

    def product(x: torch.Tensor) -> torch.Tensor:
        rows = x.numel() // x.shape[-1]
        if not 0 < rows < _FEWEST:
            return operations._linear_pointwise(x, packed, bias, "none", [], "")
        filled = functional.pad(x.reshape(rows, -1), (0, 0, 0, _FEWEST - rows))
        found = operations._linear_pointwise(filled, packed, bias, "none", [], "")[:rows]
        return found.reshape(*x.shape[:-1], -1)

    return product


_PRODUCTS: dict[Library, Callable[[nn.Linear], Product]] = {"mkl": _mkl, "onednn": _onednn}


@cache
def _library() -> Library | None:
    """Choose by the maker of the processor, never by a clock: workers of a study must do the same."""
    libraries: tuple[Library, ...] = ("mkl", "onednn") if "GenuineIntel" in processor_text() else ("onednn",)
    return next(filter(_works, libraries), None)


def _works(library: Library) -> bool:
    """Whether this build of torch has the operations, and they give the product: they are not part of its interface."""
    with torch.random.fork_rng(devices=[]):  # a layer draws its weights
        layer = nn.Linear(512, 512)
    with torch.inference_mode():
        for rows in (1, 40, 2 * _ROWS):
            x = torch.randn(1, rows, 512, generator=torch.Generator().manual_seed(0))
            try:
                found = _PRODUCTS[library](layer)(x)
            except (AttributeError, RuntimeError):
                return False
            if not torch.allclose(found, layer(x), rtol=1e-4, atol=1e-4):
                return False
    return True
