"""What the matrices of a module are given at the last position of a prompt, and which matrices are asked.

Those with more outputs than inputs, inside the decoder blocks: only they have outputs that the matrix cannot reach, so
only of them can a change write outside its column space. The paper takes the first matrix of each MLP.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from safebasin.errors import ModelError, expected
from safebasin.stats.landscape import Array
from safebasin.weights.blocks import decoder_blocks, inner_parts

if TYPE_CHECKING:
    import torch

__all__ = ["Matrix", "last_inputs", "tall_matrices"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """A weight matrix of a module."""

    name: str
    """Of its parameter."""
    layer: int
    transposed: bool
    """Whether it is stored as (inputs, outputs), as GPT-2 does."""

    @property
    def path(self) -> str:
        """Of its module."""
        return self.name.rpartition(".")[0]

    def outputs_by_inputs(self, tensor: torch.Tensor) -> Array:
        """The matrix, or a change of it, with outputs as rows."""
        found = tensor.double().cpu().numpy()
        return found.T if self.transposed else found


def tall_matrices(model: Any) -> tuple[Matrix, ...]:
    """The matrices of attention and MLP that have more outputs than inputs, in the order of the model.

    Args:
        model: a causal language model of transformers.

    Raises:
        ModelError: where its blocks cannot be told by name, or hold no such matrix.
    """
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    names = [name for name, _ in model.named_parameters()]
    found: list[Matrix] = []
    for layer, block in enumerate(decoder_blocks(names)):
        parts = tuple(f"{part}." for part in inner_parts(names, block))
        for name in (name for name in names if name.startswith(parts) and name.endswith(".weight")):
            module = model.get_submodule(name.rpartition(".")[0])
            is_stored_by_inputs = isinstance(module, Conv1D)
            if not (is_stored_by_inputs or isinstance(module, nn.Linear)):
                continue
            outputs, inputs = module.weight.shape[::-1] if is_stored_by_inputs else module.weight.shape
            if outputs > inputs:
                found.append(Matrix(name=name, layer=layer, transposed=is_stored_by_inputs))
    if not found:
        remedy = "Packed experts and square layers are not looked at."
        raise ModelError(expected("the model", "with linear layers of more outputs than inputs", "none", remedy))
    return tuple(found)


def last_inputs(model: Any, matrices: Sequence[Matrix], tokens: Sequence[Sequence[int]]) -> Mapping[str, Array]:
    """Name of a matrix → what it is given at the last token of each row, (rows, inputs), a row at a time.

    Raises:
        ModelError: where a matrix is not used, such as an expert that no token is sent to.
    """
    import torch

    device = next(model.parameters()).device
    found: dict[str, list[Array]] = {matrix.name: [] for matrix in matrices}
    for row in tokens:
        with torch.no_grad(), _watched(model, matrices) as seen:
            model(input_ids=torch.tensor([row], device=device), use_cache=False)
        for matrix in matrices:
            if matrix.name not in seen:
                remedy = "Mixtures of experts are not served."
                raise ModelError(expected(matrix.name, "used by every prompt", "unused", remedy))
            found[matrix.name].append(seen[matrix.name].float().cpu().numpy())
    return {name: np.stack(rows) for name, rows in found.items()}


@contextmanager
def _watched(model: Any, matrices: Sequence[Matrix]) -> Generator[dict[str, torch.Tensor]]:
    """While the block runs, what each matrix is given at the last position."""
    seen: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Any:
        def hook(module: Any, given: Any) -> None:
            seen[name] = given[0].reshape(-1, given[0].shape[-1])[-1].detach()

        return hook

    handles = [model.get_submodule(m.path).register_forward_pre_hook(keep(m.name)) for m in matrices]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
