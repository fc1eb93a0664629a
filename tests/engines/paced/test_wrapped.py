"""Which models are decoded at each row's own pace: those whose logits come out as their own, and no others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from helpers.models import ARCHITECTURES
from safebasin.engines import paced
from safebasin.engines.decoding import greedy_config
from safebasin.engines.paced import wrapped
from safebasin.engines.paced.drafting import Drafter
from safebasin.engines.paced.wrapped import any_model
from safebasin.engines.stopping import Rows

LENGTHS = (3, 30, 6, 19, 9, 14)
N_NEW = 60


def load(folder: Path, **given: str) -> PreTrainedModel:
    model = AutoModelForCausalLM.from_pretrained(folder, **given).eval()
    model.generation_config = greedy_config(model, eos=[], pad=0)
    return model


def prompts(shared: int = 0) -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    start = torch.randint(10, 440, (shared,), generator=generator).tolist()
    return [[*start, *torch.randint(10, 440, (n,), generator=generator).tolist()] for n in LENGTHS]


def alone(model: PreTrainedModel, asked: list[list[int]]) -> list[list[int]]:
    """What `generate` says to each prompt by itself."""
    return [
        model.generate(torch.tensor([p]), attention_mask=torch.ones(1, len(p)), max_new_tokens=N_NEW)[
            0, len(p) :
        ].tolist()
        for p in asked
    ]


@pytest.fixture
def guessing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Rows, list[list[int]]], None]:
    """Makes rows guess for seven tokens, then not, mostly what they will say and sometimes something else."""
    generator = np.random.default_rng(0)

    def guess_from(rows: Rows, truth: list[list[int]]) -> None:
        def guess(_: Drafter, which: Sequence[int], n: int) -> NDArray[np.int64]:
            coming = [[*truth[row][len(rows.ids[row]) :], *[0] * n][:n] for row in which]
            wrong = generator.random((len(which), n)) < 0.15
            return np.where(wrong, generator.integers(10, 440, wrong.shape), np.asarray(coming, dtype=np.int64))

        def cyclic(_: Drafter, which: Sequence[int]) -> NDArray[np.bool_]:
            return np.asarray([(len(rows.ids[row]) // 7 + row) % 2 == 1 for row in which])

        monkeypatch.setattr(Drafter, "cyclic", cyclic)
        monkeypatch.setattr(Drafter, "guess", guess)

    return guess_from


@pytest.mark.parametrize("arch", ARCHITECTURES)
@torch.inference_mode()
@pytest.mark.slow
def test_tokens_equal_those_of_each_prompt_alone(arch, checkpoint, monkeypatch, guessing):
    model = load(checkpoint(arch, tied=False))
    n_held: list[float] = []
    monkeypatch.setattr(Drafter, "learn", lambda self, held: n_held.append(held))
    monkeypatch.setattr(paced.LeanLlama, "fits", lambda model: False)  # Llamas have a pass of their own
    asked = prompts(shared=12)
    rows = Rows([N_NEW] * len(asked), eos=[])
    truth = alone(model, asked)
    guessing(rows, truth)
    assert paced.decode(model, asked, rows)
    assert rows.ids == truth
    assert max(n_held) > 2, "guesses held, several tokens a pass"


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["qwen2", "gemma3", "gpt2"])
@torch.inference_mode()
def test_tokens_equal_where_attention_is_eager(arch, checkpoint):
    model = load(checkpoint(arch, tied=False), attn_implementation="eager")
    asked = prompts()
    rows = Rows([N_NEW] * len(asked), eos=[])
    assert paced.decode(model, asked, rows)
    assert rows.ids == alone(model, asked)


def test_half_precision_and_moving_positions_are_left_to_the_loop(checkpoint):
    assert any_model(load(checkpoint("qwen2", dtype="bfloat16")), 100) is None
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    config = AutoConfig.from_pretrained(checkpoint("qwen2"), rope_parameters=rope)
    assert any_model(AutoModelForCausalLM.from_config(config).eval(), 100) is None


def test_a_model_that_is_hooked_is_left_to_the_loop_while_it_is(checkpoint):
    model = load(checkpoint("qwen2"))
    handle = model.model.layers[0].register_forward_hook(lambda *_: None)
    assert any_model(model, 100) is None
    handle.remove()
    assert any_model(model, 100) is not None


def test_a_model_that_minds_its_own_positions_is_found_out(checkpoint, monkeypatch):
    model = load(checkpoint("qwen2"))
    plain = model.model.rotary_emb.forward
    monkeypatch.setattr(model.model.rotary_emb, "forward", lambda x, at: plain(x, torch.arange(x.shape[1])[None]))
    assert any_model(model, 100) is None


def test_what_only_long_rows_show_is_found_out():
    sizes = {"vocab_size": 512, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "initializer_range": 0.3}
    kinds = [[["global", "local"], 1]]  # a window that no other architecture calls so
    config = AutoConfig.for_model(
        "gpt_neo", attention_types=kinds, window_size=48, max_position_embeddings=256, **sizes
    )
    assert any_model(AutoModelForCausalLM.from_config(config).eval(), 100) is None


def test_longer_rows_are_tried_anew(checkpoint, monkeypatch):
    model, tried = load(checkpoint("mistral")), []
    plain = wrapped._difference
    monkeypatch.setattr(wrapped, "_difference", lambda *given: tried.append(given[2]) or plain(*given))
    for longest in (20, 64, 30, 65, 250):
        assert any_model(model, longest) is not None
    assert tried == [64, 128, 256]


def test_broken_weights_tell_nothing_about_a_model(checkpoint):
    model = load(checkpoint("qwen2"))
    kept = [parameter.clone() for parameter in model.parameters()]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(float("nan"))
        assert any_model(model, 100) is None
        for parameter, value in zip(model.parameters(), kept, strict=True):
            parameter.copy_(value)
    assert any_model(model, 100) is not None
