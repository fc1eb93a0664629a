"""Likelihoods of texts against cross-entropy of one text at a time, without a cache; each token is computed once."""

from __future__ import annotations

import random

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from safebasin.engines.llama_float32 import llama_scorer, nll_of_texts, scorer
from safebasin.engines.llama_float32.lean import LeanLlama

Pairs = list[tuple[tuple[int, ...], tuple[int, ...]]]

LIMITS = {"_STATE_BYTES": (0, 2**28), "_TREE": (1, 6, 128), "_PASS": (1, 9, 512), "_LOGIT_BYTES": (0, 2**26)}


@pytest.fixture(scope="module")
def model(checkpoint) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(checkpoint("llama")).eval()


def alone(model: PreTrainedModel, prompt: tuple[int, ...], text: tuple[int, ...]) -> list[float]:
    """−log p of each token of the text, from one unpadded forward pass."""
    logits = model(torch.tensor([[*prompt, *text]])).logits[0].double()
    steps = range(len(prompt), len(prompt) + len(text))
    return [float(-torch.log_softmax(logits[n - 1], -1)[text[n - len(prompt)]]) for n in steps]


def agrees(found: dict, model: PreTrainedModel, pairs: Pairs) -> None:
    assert set(found) == set(pairs)
    for prompt, text in pairs:
        assert found[prompt, text] == pytest.approx(alone(model, prompt, text), abs=1e-3)


def drawn(seed: int) -> Pairs:
    """Prompts and texts of few tokens, of which many begin alike and some begin others."""
    draw = random.Random(seed)

    def some(most: int) -> tuple[int, ...]:
        return tuple(draw.choices((5, 60), k=draw.randint(1, most)))

    prompts = [(7, 8, 9)[: draw.randint(0, 3)] + some(4) for _ in range(3)]
    return [(draw.choice(prompts), some(9)) for _ in range(20)]


@torch.inference_mode()
@pytest.mark.parametrize("seed", range(12))
def test_likelihoods_are_those_of_one_text_at_a_time(model, seed, monkeypatch):
    for name, limits in LIMITS.items():
        monkeypatch.setattr(llama_scorer, name, random.Random(f"{seed}{name}").choice(limits))
    agrees(nll_of_texts(model, drawn(seed)), model, drawn(seed))


@torch.inference_mode()
def test_texts_longer_than_a_pass_after_prompts_of_unlike_lengths(model, monkeypatch):
    monkeypatch.setattr(llama_scorer, "_PASS", 16)
    pairs = [((300,), tuple(range(20, 60))), (tuple(range(9, 49)), (70,)), (tuple(range(9, 49)), (70, 71))]
    agrees(nll_of_texts(model, pairs), model, pairs)


@torch.inference_mode()
def test_each_token_is_computed_once(model, monkeypatch):
    seen: list[list[int]] = []
    plain = LeanLlama.hidden

    def counted(self, tokens, at, attend):
        seen.append(tokens[0].tolist())
        return plain(self, tokens, at, attend)

    monkeypatch.setattr(LeanLlama, "hidden", counted)
    a, b = (1, 2, 3, 4), (1, 2, 5, 6, 7)
    pairs = [(a, (10, 11, 12)), (a, (10, 11)), (a, (10, 13, 14, 15)), (b, (10, 11)), (b, (10, 11))]
    agrees(nll_of_texts(model, pairs), model, pairs)
    assert seen == [
        [1, 2],  # what both prompts begin with
        [3, 5, 6],  # the rest of each but its last token
        [4, 10, 11, 13, 14, 7, 10],  # a tree of texts behind each: no last token, for nothing is asked after it
    ]


@torch.inference_mode()
def test_a_score_does_not_depend_on_what_was_scored_before(model):
    pairs = drawn(0)
    first = nll_of_texts(model, pairs)
    nll_of_texts(model, drawn(1))
    assert nll_of_texts(model, pairs[::-1]) == first


def test_other_models_are_left_to_others(model, checkpoint):
    assert scorer(model) is not None
    assert scorer(AutoModelForCausalLM.from_pretrained(checkpoint("gpt2"))) is None
    assert nll_of_texts(model, []) == {}
