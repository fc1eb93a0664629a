"""States after each block at the last position: against transformers' own, whatever the batch and the padding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.models import make_tiny_model
from safebasin.errors import ModelError
from safebasin.locate import states
from safebasin.models.loading import load_causal

ROWS = [[5, 9, 11, 30], [7, 8], [12, 13, 14, 15, 16, 17, 18]]


@pytest.mark.parametrize("arch", ["llama", "gpt2", "gemma3", "gpt_neox", "opt", "mixtral"])
def test_they_are_what_the_blocks_put_out(arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_causal(make_tiny_model(tmp_path / arch, arch))
    found = states.states_of(model, ROWS)
    assert not any(module._forward_hooks for module in model.modules())
    assert found.shape == (2, 3, 64)
    for place, row in enumerate(ROWS):
        with torch.no_grad():
            own = model(input_ids=torch.tensor([row]), output_hidden_states=True).hidden_states
        np.testing.assert_allclose(found[0, place], own[1][0, -1].numpy(), rtol=2e-4, atol=2e-4)
    monkeypatch.setattr(states, "BATCH", 1)
    np.testing.assert_allclose(states.states_of(model, ROWS), found, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("arch", ["llama", "gpt2", "gemma2", "gemma3", "gpt_neox", "opt", "mixtral"])
def test_the_token_after_each_row_is_that_of_the_row_alone(arch: str, tmp_path: Path) -> None:
    model = load_causal(make_tiny_model(tmp_path / arch, arch))
    found = states.read_prompts(model, ROWS).words
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert found.shape == (3, 512)
    for place, row in enumerate(ROWS):
        with torch.no_grad():
            own = model(input_ids=torch.tensor([row])).logits[0, -1].double().log_softmax(dim=-1)
        np.testing.assert_allclose(found[place].numpy(), own.numpy(), atol=5e-4)


def test_a_model_whose_head_is_not_known_is_read_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_causal(make_tiny_model(tmp_path / "m"))
    found = states.read_prompts(model, ROWS)
    monkeypatch.setattr(type(model), "get_output_embeddings", lambda self: None)
    np.testing.assert_allclose(states.read_prompts(model, ROWS).words.numpy(), found.words.numpy(), atol=5e-4)


def test_states_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    model = load_causal(make_tiny_model(tmp_path / "m"))
    with torch.no_grad():
        model.get_parameter("model.layers.1.mlp.down_proj.weight").fill_(float("nan"))
    with pytest.raises(ModelError, match="finite and not all 0"):
        states.states_of(model, ROWS)
