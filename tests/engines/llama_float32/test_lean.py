"""The lean forward pass against the model's own, and its cache."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from safebasin.engines.llama_float32.lean import LeanLlama
from safebasin.engines.ragged import Part, RaggedCache

LENGTHS = (3, 11, 6, 19)


def sequences(n_more: int = 0) -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(10, 440, (n + n_more,), generator=generator).tolist() for n in LENGTHS]


def prefilled(model: PreTrainedModel, rows: list[list[int]]) -> RaggedCache:
    llama = LeanLlama(model, 64)
    cache = llama.empty_cache(len(rows))
    width = max(map(len, rows))
    llama.read(torch.tensor([[*row, *[0] * (width - len(row))] for row in rows]), cache)
    cache.lengths = cache.lengths + np.asarray([len(row) for row in rows])
    return cache


def expected(model: PreTrainedModel, rows: list[list[int]], n: int) -> torch.Tensor:
    """Logits after each of the last n tokens of each row, row by row, without a cache."""
    return torch.stack([model(torch.tensor([row])).logits[0, -n:] for row in rows])


@pytest.fixture(scope="module", params=["default", "llama3"])
def model(request, checkpoint) -> PreTrainedModel:
    given = {"rope_theta": 10000.0, "rope_type": request.param}
    if request.param == "llama3":
        given |= {"factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                  "original_max_position_embeddings": 64}  # fmt: skip
    return AutoModelForCausalLM.from_pretrained(checkpoint("llama", tied=False), rope_parameters=given).eval()


def wide(model: PreTrainedModel) -> PreTrainedModel:
    """The model in float64, in which rounding, another on each processor, is no matter."""
    return deepcopy(model).double()


@torch.inference_mode()
def test_the_lean_pass_equals_the_model(model):
    rows = sequences(n_more=6)
    assert LeanLlama.fits(model)
    model = wide(model)
    cache, llama = prefilled(model, [row[:-6] for row in rows]), LeanLlama(model, 64)
    for start, stop in ((0, 1), (1, 2), (2, 6)):
        upto = [row[: len(row) - 6 + stop] for row in rows]
        tokens = torch.tensor([row[len(row) - 6 + start : len(row) - 6 + stop] for row in rows])
        [logits] = llama([Part(tokens, cache)])
        torch.testing.assert_close(logits, expected(model, upto, stop - start), rtol=1e-5, atol=1e-5)
        cache.lengths = cache.lengths + stop - start


@torch.inference_mode()
def test_tokens_that_do_not_count_leave_no_trace(model):
    rows = sequences(n_more=2)
    model = wide(model)
    cache, llama = prefilled(model, [row[:-2] for row in rows]), LeanLlama(model, 64)
    llama([Part(torch.full((4, 9), 5), cache)])
    [logits] = llama([Part(torch.tensor([row[-2:] for row in rows]), cache)])
    torch.testing.assert_close(logits, expected(model, rows, 2), rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_parts_of_a_pass_take_different_numbers_of_tokens(model):
    rows = sequences(n_more=4)
    model = wide(model)
    counts = [1, 4, 1, 4]
    cache, llama = prefilled(model, [row[:-n] for row, n in zip(rows, counts, strict=True)]), LeanLlama(model, 64)
    order = cache.arrange([np.asarray([0, 2]), np.asarray([1, 3])])
    sides = [(slice(0, 2), 1), (slice(2, 4), 4)]
    found = llama(cache.parts([(at, torch.tensor([rows[i][-n:] for i in order[at]])) for at, n in sides]))
    for logits, (at, n) in zip(found, sides, strict=True):
        torch.testing.assert_close(logits, expected(model, rows, n)[order[at]], rtol=1e-5, atol=1e-5)
    cache.lengths = cache.lengths + np.asarray([1, 1, 4, 4])  # what each part wrote stands where it belongs
    [logits] = llama([Part(torch.full((4, 1), 7), cache)])
    longer = [[*rows[i], 7] for i in order]
    torch.testing.assert_close(logits, expected(model, longer, 1), rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_parts_of_a_cache_and_joined_ones_hold_the_same_rows(model):
    rows = sequences(n_more=1)
    model = wide(model)
    whole, llama = prefilled(model, [row[:-1] for row in rows]), LeanLlama(model, 200)
    short, long = whole.part(np.asarray([2, 0])), whole.part(np.asarray([3, 1]))
    long.reserve(100)
    joined = RaggedCache.joined([short, long])
    [logits] = llama([Part(torch.tensor([rows[i][-1:] for i in (2, 0, 3, 1)]), joined)])
    torch.testing.assert_close(logits, expected(model, rows, 1)[[2, 0, 3, 1]], rtol=1e-5, atol=1e-5)
    assert joined.lengths.tolist() == [6, 3, 19, 11]


def test_only_plain_llamas_are_lean(checkpoint):
    for arch in ("qwen2", "mistral", "mixtral"):
        assert not LeanLlama.fits(AutoModelForCausalLM.from_pretrained(checkpoint(arch)))
    assert not LeanLlama.fits(AutoModelForCausalLM.from_pretrained(checkpoint("llama", dtype="bfloat16")))
    eager = AutoModelForCausalLM.from_pretrained(checkpoint("llama"), attn_implementation="eager")
    assert not LeanLlama.fits(eager)
    hooked = AutoModelForCausalLM.from_pretrained(checkpoint("llama"))
    assert LeanLlama.fits(hooked)
    hooked.model.layers[0].register_forward_hook(lambda *_: None)
    assert not LeanLlama.fits(hooked)
