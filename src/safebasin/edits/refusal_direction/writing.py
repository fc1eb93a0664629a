"""Which weights write to the residual stream, and the same without a direction: W ← W − r̂ r̂ᵀ W.

No list of architectures: in each part of a block it is the last linear layer that runs whose output is as wide as the
stream, and all embeddings that are as wide. Whether that is all of them is checked on the model afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from safebasin.edits.attribution.matrices import Matrix, linear_matrices
from safebasin.edits.refusal_direction.residual import capturing, without
from safebasin.errors import ModelError, expected
from safebasin.weights.blocks import block_modules

__all__ = ["check_free", "orthogonalize", "writers_of"]

_FREE = {torch.float32: 1e-3, torch.float64: 1e-6}
"""The largest share of the stream's length that may be left in a direction; 0.05 in shorter types."""


def writers_of(model: nn.Module, ids: torch.Tensor, width: int) -> tuple[Matrix, ...]:
    """The linear layers that write to the stream, found while a prompt runs.

    Args:
        model: the model.
        ids: tokens of a prompt, (1, tokens).
        width: of the stream.

    Raises:
        ModelError: where the model has no linear layers, or no blocks.
    """
    order: list[int] = []
    matrices = {id(m.module): m for m in linear_matrices(model) if m.weight.shape[0] == width}
    handles = [m.module.register_forward_hook(lambda module, *_: order.append(id(module))) for m in matrices.values()]
    try:
        with torch.no_grad():
            model(input_ids=ids)
    finally:
        for handle in handles:
            handle.remove()
    found: list[Matrix] = []
    for block in block_modules(model):
        for part in block.children():
            inside = {id(module) for module in part.modules()}
            last = next((place for place in reversed(order) if place in inside), None)
            if last is not None:
                found.append(matrices[last])
    return tuple(found)


def orthogonalize(
    model: nn.Module, writers: Sequence[Matrix], width: int, direction: torch.Tensor, strength: float
) -> None:
    """Take a direction of unit length out of all that writes to the stream: embeddings, weights, biases.

    With a head that is tied to the embedding, the head loses it too, as in the published code.
    """
    tables = [m.weight for m in model.modules() if isinstance(m, nn.Embedding) and m.weight.shape[1] == width]
    biases = [m.module.bias for m in writers if getattr(m.module, "bias", None) is not None]
    with torch.no_grad():
        for rows in [*{id(t): t for t in tables}.values(), *biases]:
            stored: Any = rows
            stored.copy_(_less(stored.double(), direction, strength))
        for matrix in writers:
            w = matrix.weight
            w.copy_(_less(w.double().T, direction, strength).T)


def check_free(model: nn.Module, prompts: Sequence[torch.Tensor], direction: torch.Tensor) -> None:
    """Check on prompts that the stream at every block's input is free of a direction.

    Raises:
        ModelError: where it is not: something else writes there, such as a norm behind a layer, or fused experts.
    """
    most = _FREE.get(next(model.parameters()).dtype, 0.05)
    with torch.no_grad(), capturing(model, 10**6) as seen:
        for ids in prompts:
            model(input_ids=ids)
        shares = [float(((x @ direction.double()).abs() / (x.norm(dim=-1) + 1e-12)).max()) for x in seen]
    worst = max(range(len(shares)), key=lambda i: shares[i])
    if not shares[worst] <= most:
        layer = worst % len(block_modules(model))
        got = f"{100 * shares[worst]:.1f} % of it left at layer {layer}"
        remedy = "Something else writes there (a norm behind a layer, fused experts): such a model is not served."
        raise ModelError(expected("the residual stream", "written by linear layers and embeddings alone", got, remedy))


def _less(x: torch.Tensor, direction: torch.Tensor, strength: float) -> torch.Tensor:
    return x + strength * (without(x, direction.to(x)) - x)
