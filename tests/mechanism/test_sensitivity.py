"""Local sensitivity against finite differences, on models of 16 dimensions in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from helpers.models import make_tiny_model
from safebasin.mechanism.sensitivity import sensitivities

STEP = 1e-3


@pytest.mark.parametrize(
    ("arch", "sizes"),
    [("llama", {}), ("qwen3", {"head_dim": 4}), ("gemma2", {"head_dim": 4, "query_pre_attn_scalar": 4})],
)
def test_the_norm_is_that_of_finite_differences(arch: str, sizes: dict[str, int], tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / arch, arch, hidden_size=16, intermediate_size=32, scale=0.1, **sizes)
    model = AutoModelForCausalLM.from_pretrained(folder).double().eval()
    row = [9, 20, 31, 12]
    at = model.get_input_embeddings()(torch.tensor(row)).detach()

    def largest(embeddings: torch.Tensor) -> float:
        with torch.no_grad():
            return float(model(inputs_embeds=embeddings[None], use_cache=False).logits[0, -1].max())

    slopes = []
    for place in np.ndindex(*at.shape):
        ends = []
        for sign in (1, -1):
            moved = at.clone()
            moved[place] += sign * STEP
            ends.append(largest(moved))
        slopes.append((ends[0] - ends[1]) / (2 * STEP))
    assert sensitivities(model, [row])[0] == pytest.approx(np.linalg.norm(slopes), rel=1e-3)


def test_no_weight_gets_a_gradient(tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(make_tiny_model(tmp_path / "llama"))
    assert sensitivities(model, [[9, 20], [31]]).shape == (2,)
    assert all(parameter.grad is None for parameter in model.parameters())
