"""How much each weight matters to a set of rows: SNIP (Lee et al. 2019) and Wanda (Sun et al. 2024), as in Wei et al.

Scores of one model as it is: no block is pruned before the next one is scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn

from safebasin.edits.attribution.calibration import Positions, inputs
from safebasin.edits.attribution.matrices import Matrix
from safebasin.edits.attribution.moments import moments
from safebasin.errors import ModelError, expected
from safebasin.records import EncodedRow

__all__ = ["Score", "scores"]

Score = Literal["snip", "wanda"]


def scores(
    model: nn.Module, matrices: Sequence[Matrix], rows: Sequence[EncodedRow], score: Score, positions: Positions
) -> dict[str, torch.Tensor]:
    """Score of every weight, by name of the matrix: (out, in), ≥ 0, float32.

    snip: mean over the rows of |W ⊙ ∂L/∂W|, L the mean −log p of the response's tokens in nats. The absolute value is
    taken for each row, as in the paper; the published code takes it for each batch.
    wanda: |W| times the norm of what goes into its column, over the positions of all rows.

    Args:
        model: in evaluation mode; its weights stay, their gradients are gone afterwards.
        matrices: to score.
        rows: to score on.
        score: which.
        positions: of the rows, for wanda.

    Raises:
        ModelError: where a score is not finite.
    """
    made = _snip(model, matrices, rows) if score == "snip" else _wanda(model, matrices, rows, positions)
    for name, values in made.items():
        if not bool(torch.isfinite(values).all()):
            remedy = "Take a model that answers these rows with finite logits."
            raise ModelError(expected(f"the {score} scores of {name}", "finite", "NaN or infinite", remedy))
    return made


def _snip(model: nn.Module, matrices: Sequence[Matrix], rows: Sequence[EncodedRow]) -> dict[str, torch.Tensor]:
    scored = {id(matrix.parameter) for matrix in matrices}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in scored)
    sums = {matrix.name: torch.zeros_like(matrix.weight, dtype=torch.float32) for matrix in matrices}
    device = matrices[0].parameter.device
    for row in rows:
        model.zero_grad(set_to_none=True)
        loss: Any = model(**inputs(row, device)).loss
        loss.backward()
        for matrix in matrices:
            gradient = matrix.parameter.grad
            if gradient is not None:  # an expert that no token of the row went to
                sums[matrix.name] += (matrix.weight.float() * matrix.oriented(gradient).float()).abs()
    model.zero_grad(set_to_none=True)
    return {name: total / len(rows) for name, total in sums.items()}


def _wanda(
    model: nn.Module, matrices: Sequence[Matrix], rows: Sequence[EncodedRow], positions: Positions
) -> dict[str, torch.Tensor]:
    squares = moments(model, matrices, rows, positions, full=False)
    return {
        m.name: m.weight.float().abs() * squares[m.name].sqrt().to(m.weight.device, torch.float32) for m in matrices
    }
