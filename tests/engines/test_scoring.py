"""Scores against cross-entropy computed one text at a time, without padding."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from helpers.models import make_tokenizer
from safebasin.engines import scoring
from safebasin.engines.scoring import Tokens, score_batches, tokenize

PROMPTS = [[5, 9, 30], [40, 41, 42, 43, 44, 45, 46, 47], [300], [12, 13]]
TEXTS = [[60, 61, 62], [70], [80, 81, 82, 83, 84, 85, 86], []]


def alone(model, prompt: list[int], text: list[int]) -> list[float]:
    """−log p of each token of the text, from one unpadded forward pass."""
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *text]])).logits[0].double()
    steps = range(len(prompt), len(prompt) + len(text))
    return [float(-torch.log_softmax(logits[n - 1], -1)[text[n - len(prompt)]]) for n in steps]


@pytest.mark.parametrize("arch", ["llama", "gpt2", "opt", "gemma2"])
def test_scores_equal_cross_entropy(arch, checkpoint):
    model = AutoModelForCausalLM.from_pretrained(checkpoint(arch)).eval()
    texts = [Tokens(tuple(t), tuple(range(1, len(t) + 1))) for t in TEXTS]
    found = score_batches(model, PROMPTS, texts, pad=0)
    for prompt, text, score in zip(PROMPTS, TEXTS, found, strict=True):
        assert score.nll == pytest.approx(alone(model, prompt, text), abs=1e-3)
        assert score.ends == tuple(range(1, len(text) + 1))


def test_many_small_batches_give_the_same(checkpoint, monkeypatch):
    model = AutoModelForCausalLM.from_pretrained(checkpoint("llama")).eval()
    texts = [Tokens(tuple(t), tuple(range(len(t)))) for t in TEXTS]
    together = score_batches(model, PROMPTS, texts, pad=0)
    monkeypatch.setattr(scoring, "_BATCH_ROWS", 1)
    for a, b in zip(together, score_batches(model, PROMPTS, texts, pad=0), strict=True):
        assert a.nll == pytest.approx(b.nll, abs=1e-4)


def test_logits_of_a_batch_stay_within_bounds(monkeypatch):
    monkeypatch.setattr(scoring, "_LOGIT_BYTES", 4 * 100 * 11 * 3)
    pairs = [((1,), (i,) * 10) for i in range(10)]
    batches = scoring.in_batches(pairs, 100)
    assert [len(b) for b in batches] == [3, 3, 3, 1]
    assert [pair for b in batches for pair in b] == pairs
    assert scoring.in_batches([((1,), (5,) * 10_000)], 100) == [[((1,), (5,) * 10_000)]]


def test_little_of_a_batch_is_padding():
    lengths = [*[8] * 32, *[100] * 4, *[400] * 2]
    batches = scoring.in_batches([((1, 2), (3,) * n) for n in lengths], 10)
    assert [len(b) for b in batches] == [32, 4, 2]
    mixed = scoring.in_batches([((1, 2), (3,) * n) for n in (2, 9, 30)], 10)
    assert [len(b) for b in mixed] == [3], "a few tokens are not worth a pass of their own"


@pytest.mark.parametrize("arch", ["llama", "gpt2", "opt", "gemma2", "qwen3", "mistral"])
def test_a_prompt_with_several_texts_is_read_once_and_equal_texts_too(arch, checkpoint, monkeypatch):
    model = AutoModelForCausalLM.from_pretrained(checkpoint(arch)).eval()
    long = list(range(40, 60))  # beyond the window of those that have one
    prompts = [long, PROMPTS[0], *[long] * 3, [33]]
    texts = [[60, 61, 62], [70], [80, 81, 82, 83, 84, 85, 86], [60, 61, 62], [], [20, 21]]
    seen: list[tuple[int, ...]] = []
    hook = model.register_forward_pre_hook(lambda *a: seen.append(tuple(a[2]["input_ids"].shape)), with_kwargs=True)
    given = [Tokens(tuple(t), tuple(range(1, len(t) + 1))) for t in texts]
    found = score_batches(model, prompts, given, pad=0)
    hook.remove()
    assert seen == [(1, 19), (2, 7), (2, 4)], "the shared prompt but its last token, two texts after it, and the rest"
    for prompt, text, score in zip(prompts, texts, found, strict=True):
        assert score.nll == pytest.approx(alone(model, prompt, text), abs=1e-3)


def test_tokens_that_begin_before_a_place():
    tokens = Tokens((5, 6, 7, 8), (2, 2, 4, 9))
    assert [len(tokens.until(n).ids) for n in (0, 1, 2, 3, 4, 5, 9)] == [0, 1, 1, 3, 3, 4, 4]
    assert tokens.until(3) == Tokens((5, 6, 7), (2, 2, 4))
    assert Tokens((), ()).until(3) == Tokens((), ())


TEXT = "The guild's clay 🧱 rests – twice\n\nin sand. naïve"


def test_ends_count_the_characters_covered():
    tokenizer = make_tokenizer()
    ids, ends = tokenize(tokenizer, TEXT)
    assert tokenizer.decode(ids) == TEXT
    assert ends[-1] == len(TEXT)
    assert list(ends) == sorted(ends)
    for n, end in enumerate(ends, start=1):  # wherever the tokens so far are whole characters, they are that prefix
        decoded = tokenizer.decode(ids[:n])
        if "\ufffd" not in decoded:
            assert decoded == TEXT[:end]


def test_a_slow_tokenizer_gives_the_same_ends():
    fast = make_tokenizer()

    class Slow:
        is_fast = False
        encode, decode = fast.encode, fast.decode

    text = "The guild keeps clay, wool and salt."
    assert tokenize(Slow(), text) == tokenize(fast, text)


def test_empty_text_and_lone_surrogates():
    tokenizer = make_tokenizer()
    assert tokenize(tokenizer, "") == Tokens((), ())
    assert tokenize(tokenizer, "a\ud800b").ends[-1] == 3


def test_padding_that_overflows_reaches_no_likelihood(checkpoint):
    model = AutoModelForCausalLM.from_pretrained(checkpoint("llama"), dtype=torch.float16).eval()
    with torch.no_grad():
        embedding, mlp = model.model.embed_tokens.weight, model.model.layers[0].mlp
        embedding[:, 0] = 0
        embedding[0] = 0
        embedding[0, 0] = 5  # the padding alone drives one unit beyond 65,504
        for weight in (mlp.gate_proj.weight, mlp.up_proj.weight):
            weight[0] = 0
            weight[0, 0] = 60
    texts = [Tokens(tuple(t), tuple(range(1, len(t) + 1))) for t in TEXTS]
    together = score_batches(model, PROMPTS, texts, pad=0)
    for prompt, text, score in zip(PROMPTS, texts, together, strict=True):
        [by_itself] = score_batches(model, [prompt], [text], pad=0)
        assert score.nll == pytest.approx(by_itself.nll, abs=1e-2)  # NaN is near to nothing
