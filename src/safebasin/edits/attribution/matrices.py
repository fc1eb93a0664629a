"""The linear layers of a model, whatever its architecture: each weight seen as (out, in). No numbers are computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from safebasin.errors import ModelError, expected
from safebasin.weights.selection import matches

__all__ = ["Matrix", "linear_matrices"]

_PLAIN = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """A linear layer."""

    name: str
    """Canonical name of its weight."""
    module: nn.Module
    transposed: bool = False
    """Whether the weight is stored as (in, out): GPT-2's Conv1D."""

    @property
    def parameter(self) -> nn.Parameter:
        """The weight as it is stored."""
        return cast("nn.Parameter", self.module.weight)

    @property
    def weight(self) -> torch.Tensor:
        """A view of the weight, (out, in), without gradient."""
        return self.oriented(self.parameter.detach())

    def oriented(self, stored: torch.Tensor) -> torch.Tensor:
        """A tensor of the weight's shape as (out, in), or one that is (out, in) as the weight is stored."""
        return stored.T if self.transposed else stored


def linear_matrices(model: nn.Module, only: str = "*") -> tuple[Matrix, ...]:
    """The linear layers of a model in module order, without the head that maps to tokens.

    Args:
        model: loaded by transformers.
        only: pattern of weights, as `only` of a direction reads it.

    Raises:
        ModelError: where there is none: an architecture that holds its weights otherwise, or packed weights.
    """
    find_head = getattr(model, "get_output_embeddings", None)
    head = find_head() if callable(find_head) else None
    vocabulary = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    found: list[Matrix] = []
    for path, module in model.named_modules():
        transposed = type(module).__name__ == "Conv1D"
        if module is head or not (isinstance(module, nn.Linear) or transposed):
            continue
        matrix = Matrix(f"{path}.weight", module, transposed)
        parameter = cast("Any", matrix.parameter)
        is_plain = parameter.dtype in _PLAIN and type(parameter.data) is torch.Tensor
        if is_plain and id(parameter) not in vocabulary and matches(matrix.name, only):
            found.append(matrix)
    if not found:
        constraint = "one with linear layers of plain weights (nn.Linear or Conv1D)" + (
            "" if only == "*" else f", {only}"
        )
        remedy = f"{type(model).__name__} holds its weights otherwise: dequantize it first, or mend `only`."
        raise ModelError(expected("the model", constraint, "none of them", remedy))
    return tuple(found)
