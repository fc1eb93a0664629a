"""What prompts begin with is read once, and the rest with little padding; nothing of it changes what is read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from safebasin.engines.paced import reading
from safebasin.engines.paced.proving import any_model
from safebasin.engines.paced.reading import read, shared
from safebasin.engines.ragged import Part


def test_shared_is_what_all_rows_begin_with_where_it_is_worth_a_pass():
    start = list(range(9))
    assert shared([[*start, 1, 2], [*start, 3], [*start]]) == 9
    assert shared([[*start[:7], 1], [*start[:7], 3]]) == 0
    assert shared([start]) == 0
    assert shared([start, []]) == 0
    assert shared([start, start]) == 9


@pytest.mark.parametrize("n_tokens", [8192, 8])
@torch.inference_mode()
def test_logits_after_a_read_prompt_are_the_models(n_tokens, checkpoint, monkeypatch):
    monkeypatch.setattr(reading, "READ_TOKENS", n_tokens)
    model = AutoModelForCausalLM.from_pretrained(checkpoint("qwen2")).eval()
    forward = any_model(model, 100)
    assert forward is not None
    start = list(range(20, 32))
    prompts = [[*start, *range(40, 40 + n)] for n in (9, 1, 30, 2, 3, 28)]
    cache = read(forward, prompts)
    assert cache.lengths.tolist() == [len(prompt) - 1 for prompt in prompts]
    logits = forward([Part(torch.tensor([[prompt[-1]] for prompt in prompts]), cache)])[0][:, 0]
    expected = torch.stack([model(torch.tensor([prompt])).logits[0, -1] for prompt in prompts])
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_few_tokens_are_read(checkpoint, monkeypatch):
    model = AutoModelForCausalLM.from_pretrained(checkpoint("qwen2")).eval()
    forward = any_model(model, 200)
    assert forward is not None
    n_read: list[int] = []
    plain = type(forward).read
    monkeypatch.setattr(
        type(forward), "read", lambda self, tokens, cache: n_read.append(tokens.numel()) or plain(self, tokens, cache)
    )
    start = list(range(20, 60))
    lengths = np.asarray([10, 11, 10, 100, 98, 11])
    read(forward, [[*start, *range(100 + row, 100 + row + n)] for row, n in enumerate(lengths)])
    # 40 in common, and of each what follows but its last token, padded by a tenth at most
    assert 40 + (lengths - 1).sum() <= sum(n_read) <= 40 + 1.1 * (lengths - 1).sum()
