"""Grouped attention against that of transformers, and that a model is left as it was."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from safebasin.engines.paced import grouped
from safebasin.engines.paced.grouped import attending


@pytest.mark.parametrize("n", [1, 5])
@pytest.mark.parametrize("groups", [1, 3])
def test_attention_equals_that_of_transformers(n, groups):
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(4, 2 * groups, n, 8, generator=generator)
    key, value = (torch.randn(4, 2, 20, 8, generator=generator) for _ in range(2))
    hidden = torch.rand(4, 1, n, 20, generator=generator) < 0.4
    hidden[..., 0] = False
    mask = torch.zeros(hidden.shape).masked_fill_(hidden, float("-inf"))
    module = torch.nn.Module()
    module.num_key_value_groups = groups
    ours, _ = grouped._attended(module, query, key, value, mask, scaling=0.3)
    own, _ = grouped.sdpa_attention_forward(module, query, key, value, mask, scaling=0.3)
    assert ours.shape == own.shape == (4, n, 2 * groups, 8)
    torch.testing.assert_close(ours, own, rtol=1e-5, atol=1e-6)


def test_a_model_attends_so_only_in_the_block(checkpoint):
    model = AutoModelForCausalLM.from_pretrained(checkpoint("qwen2"))
    with attending(model):
        assert model.config._attn_implementation == grouped._NAME
    assert model.config._attn_implementation == "sdpa"
    eager = AutoModelForCausalLM.from_pretrained(checkpoint("qwen2"), attn_implementation="eager")
    with attending(eager):
        assert eager.config._attn_implementation == "eager"
