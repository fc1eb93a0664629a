"""LlamaScorer against cross-entropy of one text at a time, without a cache; and that each prompt is computed once."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from safebasin.engines.llama_float32 import llama_scorer
from safebasin.engines.llama_float32.lean import LeanLlama
from safebasin.engines.llama_float32.llama_scorer import LlamaScorer

PROMPTS = [[5, 9, 30], [40, 41, 42, 43, 44, 45, 46, 47], [300], [5, 9, 30]]
TEXTS = [[60, 61, 62], [70], [80, 81, 82, 83, 84, 85, 86], [90, 91]]


@pytest.fixture(scope="module")
def model(checkpoint) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(checkpoint("llama")).eval()


def alone(model: PreTrainedModel, prompt: list[int], text: list[int]) -> list[float]:
    """−log p of each token of the text, from one unpadded forward pass."""
    logits = model(torch.tensor([[*prompt, *text]])).logits[0].double()
    steps = range(len(prompt), len(prompt) + len(text))
    return [float(-torch.log_softmax(logits[n - 1], -1)[text[n - len(prompt)]]) for n in steps]


def agrees(found: LlamaScorer, model: PreTrainedModel, prompts: list[list[int]], texts: list[list[int]]) -> None:
    for prompt, text, nll in zip(prompts, texts, found.nll(prompts, texts), strict=True):
        assert nll == pytest.approx(alone(model, prompt, text), abs=1e-3)


@torch.inference_mode()
@pytest.mark.parametrize("limit", [0, 2**28])
def test_texts_after_known_and_new_prompts(model, limit, monkeypatch):
    monkeypatch.setattr(llama_scorer, "_STATE_BYTES", limit)
    found = LlamaScorer(model)
    agrees(found, model, PROMPTS, TEXTS)
    agrees(found, model, PROMPTS[::-1], TEXTS)
    agrees(found, model, [[7, 8], PROMPTS[1], [11] * 20], TEXTS[:3])


@torch.inference_mode()
def test_a_prompt_is_computed_once(model, monkeypatch):
    found = LlamaScorer(model)
    found.nll(PROMPTS, TEXTS)
    seen: list[tuple[int, ...]] = []
    plain = LeanLlama.__call__

    def counted(self, tokens, cache):
        seen.append(tuple(tokens.shape))
        return plain(self, tokens, cache)

    monkeypatch.setattr(LeanLlama, "__call__", counted)
    found.nll(PROMPTS[:2], TEXTS[:2])
    assert seen == [(2, 3)], "two texts of at most three tokens, and no prompt"
