"""Second moments of what goes into each matrix, over some positions of some rows: Σ x², or the Gram matrix Σ x xᵀ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from safebasin.edits.attribution.calibration import Positions, inputs, places
from safebasin.edits.attribution.matrices import Matrix
from safebasin.errors import ModelError, expected
from safebasin.records import EncodedRow

__all__ = ["moments"]

_MOST_BYTES = 4 * 2**30
"""Gram matrices that are gathered in one pass over the rows; a larger model takes several."""


def moments(
    model: nn.Module, matrices: Sequence[Matrix], rows: Sequence[EncodedRow], positions: Positions, *, full: bool
) -> dict[str, torch.Tensor]:
    """Σ x² (in,), or with `full` Σ x xᵀ (in, in), by name of the matrix; float64, on the CPU.

    Raises:
        ModelError: where a sum is not finite, or a layer does not see the tokens of a row in their places.
    """
    sums: dict[str, torch.Tensor] = {}
    for group in _groups(matrices, full=full):
        with _gathering(group, sums, full=full) as seen, torch.no_grad():
            for row in rows:
                seen[:] = [len(row.ids), places(row, positions)]
                model(**inputs(row, group[0].parameter.device))
    for name, total in sums.items():
        if not bool(torch.isfinite(total).all()):
            remedy = "Take a model whose activations are finite on these rows."
            raise ModelError(expected(f"the Gram matrix of what goes into {name}", "finite", "NaN or infinite", remedy))
    missing = next((matrix.name for matrix in matrices if matrix.name not in sums), None)
    if missing is not None:
        remedy = "Leave it out by `only`."
        raise ModelError(expected(f"the layer {missing}", "one that the rows go through", "untouched", remedy))
    return sums


def _groups(matrices: Sequence[Matrix], *, full: bool) -> Iterator[list[Matrix]]:
    """Matrices whose moments fit the memory together."""
    group, held = list[Matrix](), 0
    for matrix in matrices:
        width = matrix.weight.shape[1]
        size = 8 * width * (width if full else 1)
        if group and held + size > _MOST_BYTES:
            yield group
            group, held = [], 0
        group.append(matrix)
        held += size
    yield group


@contextmanager
def _gathering(matrices: Sequence[Matrix], sums: dict[str, torch.Tensor], *, full: bool) -> Iterator[list[Any]]:
    """Add up in hooks; what is yielded says of the row that runs how many tokens it has and which of them count."""
    seen: list[Any] = [0, []]

    def hook(matrix: Matrix) -> Any:
        def add(module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            x = given[0].detach().reshape(-1, given[0].shape[-1])
            if len(x) != seen[0]:
                got = f"{len(x)} of {seen[0]} tokens"
                remedy = "Leave it out by `only`: a layer that sees a part of the tokens has no positions."
                raise ModelError(expected(f"the layer {matrix.name}", "one that sees every token", got, remedy))
            x = x[seen[1]].cpu().double()
            new = x.T @ x if full else x.square().sum(dim=0)
            sums[matrix.name] = sums[matrix.name] + new if matrix.name in sums else new

        return add

    handles = [matrix.module.register_forward_pre_hook(hook(matrix)) for matrix in matrices]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
