"""What a matrix is given: against what it makes of it, for matrices stored either way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from helpers.models import make_tiny_model
from safebasin.errors import ModelError
from safebasin.mechanism.inputs import last_inputs, tall_matrices

TOKENS = [[9, 20, 31], [40, 41], [12] * 7]


def load(folder: Path, arch: str) -> Any:
    return AutoModelForCausalLM.from_pretrained(make_tiny_model(folder / arch, arch)).eval()


@pytest.mark.parametrize(
    ("arch", "per_layer"), [("llama", ["gate_proj", "up_proj"]), ("gpt2", ["c_attn", "c_fc"]), ("gpt_neox", None)]
)
def test_a_matrix_is_given_what_its_outputs_are_made_of(arch: str, per_layer: list[str] | None, tmp_path: Path) -> None:
    model = load(tmp_path, arch)
    matrices = tall_matrices(model)
    if per_layer is not None:
        assert [m.path.rpartition(".")[2] for m in matrices] == per_layer * 2
    assert [m.layer for m in matrices] == sorted([0, 1] * (len(matrices) // 2))
    made: dict[str, torch.Tensor] = {}
    for matrix in matrices:
        module = model.get_submodule(matrix.path)
        module.register_forward_hook(lambda m, given, out, name=matrix.name: made.update({name: out[0, -1].detach()}))
    inputs = last_inputs(model, matrices, TOKENS)
    parameters = dict(model.named_parameters())
    for matrix in matrices:
        weights = matrix.outputs_by_inputs(parameters[matrix.name].detach())
        assert weights.shape[0] > weights.shape[1]
        bias = parameters.get(f"{matrix.path}.bias")
        expected = weights @ inputs[matrix.name][-1] + (0 if bias is None else bias.detach().numpy())
        np.testing.assert_allclose(made[matrix.name].numpy(), expected, atol=1e-4)


def test_a_model_without_such_matrices_is_named(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "square", intermediate_size=64)
    with pytest.raises(ModelError, match="with linear layers of more outputs than inputs"):
        tall_matrices(AutoModelForCausalLM.from_pretrained(folder))
