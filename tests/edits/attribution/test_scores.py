"""SNIP and Wanda on one linear layer against the closed form; what is read at which positions."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from safebasin.edits.attribution.calibration import places
from safebasin.edits.attribution.matrices import linear_matrices
from safebasin.edits.attribution.moments import moments
from safebasin.edits.attribution.scores import scores
from safebasin.errors import ModelError
from safebasin.records import IGNORED, EncodedRow, TrainingRow

INPUTS = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 1.0], [2.0, 2.0]])
W = torch.tensor([[1.0, -2.0], [0.5, 3.0], [0.0, 1.0]])


class Out(NamedTuple):
    loss: torch.Tensor


class Linear(nn.Module):
    """y = W x, and the loss is the sum of y, averaged over the tokens that carry a label."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 3, bias=False)
        self.layer.weight = nn.Parameter(W.clone())

    def forward(self, input_ids: torch.Tensor, labels: torch.Tensor, **_: Any) -> Out:
        y = self.layer(INPUTS[input_ids])
        return Out(y.sum(-1)[labels != IGNORED].mean())


def row(*ids: int, silent: int = 1) -> EncodedRow:
    return EncodedRow(row=TrainingRow(messages=()), ids=ids, labels=(*[IGNORED] * silent, *ids[silent:]))


ROWS = (row(0, 1, 2), row(3, 3, 0))


def test_snip_is_the_mean_over_rows_of_weight_times_gradient() -> None:
    """∂L/∂W = 1 x̄ᵀ for each row, x̄ the mean of its labelled inputs; absolute before the mean over rows."""
    model = Linear()
    found = scores(model, linear_matrices(model), ROWS, "snip", "response")["layer.weight"]
    means = [INPUTS[[1, 2]].mean(0), INPUTS[[3, 0]].mean(0)]  # (−1.5, 1.5) and (1.5, 1)
    wanted = sum((W * mean).abs() for mean in means) / 2
    torch.testing.assert_close(found, wanted)
    assert found[0, 0] == pytest.approx(1.5), "the signs of the two rows would cancel if they were summed first"
    torch.testing.assert_close(model.layer.weight.detach(), W, rtol=0, atol=0)


def test_wanda_is_the_weight_times_the_norm_of_its_inputs() -> None:
    model = Linear()
    found = scores(model, linear_matrices(model), ROWS, "wanda", "response")["layer.weight"]
    torch.testing.assert_close(found, W.abs() * INPUTS[[1, 2, 3, 0]].norm(dim=0))
    before = scores(model, linear_matrices(model), ROWS, "wanda", "predicting")["layer.weight"]
    torch.testing.assert_close(before, W.abs() * INPUTS[[0, 1, 3, 3]].norm(dim=0))


def test_positions() -> None:
    assert places(row(5, 6, 7, 8, silent=2), "response") == [2, 3]
    assert places(row(5, 6, 7, 8, silent=2), "predicting") == [1, 2]
    assert places(row(5, 6, silent=0), "predicting") == [0]


def test_the_gram_matrix_is_that_of_the_inputs() -> None:
    model = Linear()
    found = moments(model, linear_matrices(model), ROWS, "response", full=True)["layer.weight"]
    x = INPUTS[[1, 2, 3, 0]].double()
    torch.testing.assert_close(found, x.T @ x)


def test_what_is_not_finite_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Linear()
    monkeypatch.setattr(f"{__name__}.INPUTS", INPUTS.clone().index_fill_(0, torch.tensor([1]), float("nan")))
    with pytest.raises(ModelError, match=r"Gram matrix of what goes into layer\.weight must be finite"):
        moments(model, linear_matrices(model), ROWS, "response", full=True)
    with pytest.raises(ModelError, match="Gram matrix"):
        scores(model, linear_matrices(model), ROWS, "wanda", "response")
    with pytest.raises(ModelError, match=r"snip scores of layer\.weight must be finite"):
        scores(model, linear_matrices(model), ROWS, "snip", "response")


def test_a_model_without_linear_layers_is_refused() -> None:
    with pytest.raises(ModelError, match=r"linear layers of plain weights.*got 'none of them'.*Embedding"):
        linear_matrices(nn.Embedding(3, 2))
    with pytest.raises(ModelError, match="nothing_like_it"):
        linear_matrices(Linear(), only="*nothing_like_it*")


def test_a_layer_that_sees_a_part_of_the_tokens_is_refused() -> None:
    class Part(Linear):
        def forward(self, input_ids: torch.Tensor, labels: torch.Tensor, **_: Any) -> Out:
            return super().forward(input_ids[:, 1:], labels[:, 1:])

    model = Part()
    with pytest.raises(ModelError, match="one that sees every token; got '2 of 3 tokens'"):
        moments(model, linear_matrices(model), ROWS, "response", full=False)
