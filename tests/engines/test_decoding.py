"""The batch loop against `model.generate`, architecture by architecture, with rows that end at different times."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    Lfm2Config,
    PreTrainedModel,
    RecurrentGemmaConfig,
)

from helpers.models import ARCHITECTURES
from safebasin.engines import decoding
from safebasin.engines.cache import GrowingLayer, attends_only, growing_cache
from safebasin.engines.decoding import decode, greedy_config, left_padded
from safebasin.engines.kernels import safe_kernels
from safebasin.engines.stopping import Rows
from safebasin.errors import ModelError
from safebasin.models.files import memory_errors

PAD = 0
N_NEW = 40
LENGTHS = (3, 11, 6, 19, 9, 14, 4, 8)


def prompts(vocabulary: int = 440) -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(10, vocabulary, (n,), generator=generator).tolist() for n in LENGTHS]


def load(folder: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder).eval()


def reference(model: PreTrainedModel, eos: list[int], *, n_new: int = N_NEW) -> list[list[int]]:
    """What `generate` says, each row up to its end."""
    model.generation_config = greedy_config(model, eos=eos, pad=PAD)
    ids, mask = left_padded(prompts(), pad=PAD, device=model.device)
    with torch.no_grad():
        out = model.generate(ids, attention_mask=mask, max_new_tokens=n_new)[:, ids.shape[1] :].tolist()
    return [row[: next((i for i, t in enumerate(row) if t in eos), n_new)] for row in out]


def ours(model: PreTrainedModel, eos: list[int], *, n_new: int = N_NEW) -> Rows:
    model.generation_config = greedy_config(model, eos=eos, pad=PAD)
    ids, mask = left_padded(prompts(), pad=PAD, device=model.device)
    rows = Rows([n_new] * len(LENGTHS), eos=eos)
    decode(model, ids, mask, rows)
    return rows


QUICK = ("llama", "gemma3", "gpt2", "qwen3")
"""Architectures of every run of the tests: normal attention, windows, learned positions, norms of heads."""


def staggered_eos(model: PreTrainedModel) -> list[int]:
    """Tokens that end some rows early and at different steps, so that rows really are dropped."""
    free = reference(model, [])
    eos = sorted({free[row][3 + 5 * row] for row in (0, 2, 4)})
    lengths = {len(row) for row in reference(model, eos)}
    assert len(lengths) >= 3, "the test would not drop rows"
    return eos


@pytest.mark.parametrize("is_paced", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("arch", [a if a in QUICK else pytest.param(a, marks=pytest.mark.slow) for a in ARCHITECTURES])
def test_tokens_equal_generate(arch, is_paced, checkpoint, monkeypatch):
    if not is_paced:
        monkeypatch.setattr(decoding.paced, "decode", lambda *_, **__: False)
    # a random Gemma with tied embeddings only repeats its last token: no test at all
    model = load(checkpoint(arch, tied=False) if arch.startswith("gemma") else checkpoint(arch))
    eos = staggered_eos(model)
    assert growing_cache(model) is not None
    rows = ours(model, eos)
    assert rows.ids == reference(model, eos)
    assert rows.reason == ["stop" if len(r) < N_NEW else "length" for r in rows.ids]


def test_sliding_windows_are_shorter_than_the_texts(checkpoint):
    for arch in ("mistral", "gemma2", "gemma3"):
        assert load(checkpoint(arch)).config.sliding_window < max(LENGTHS) + N_NEW


@pytest.mark.parametrize("arch", ["llama", "qwen2"])
def test_tokens_equal_generate_in_bfloat16(arch, checkpoint):
    model = load(checkpoint(arch, dtype="bfloat16"))
    assert model.dtype == torch.bfloat16
    # a smaller batch may round differently in bfloat16: equal batches mean that no row is dropped
    with safe_kernels(model.device, model.dtype)():
        assert ours(model, []).ids == reference(model, [])


@pytest.mark.slow
def test_rows_are_dropped_from_states_of_convolutions_too():
    torch.manual_seed(0)
    config = Lfm2Config(
        vocab_size=448, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, layer_types=["conv", "full_attention"], initializer_range=0.3,
        bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config).eval()
    cache = growing_cache(model)
    assert cache is not None
    assert not attends_only(cache)
    eos = staggered_eos(model)
    rows = ours(model, eos)
    assert rows.ids == reference(model, eos)
    assert all(0 < gap < float("inf") for gap in map(rows.gap, range(len(LENGTHS))))


@pytest.mark.slow
def test_the_fallback_says_the_same_as_the_loop(checkpoint, monkeypatch):
    model = load(checkpoint("qwen2"))
    eos = staggered_eos(model)
    paced = ours(model, eos)
    monkeypatch.setattr(decoding.paced, "decode", lambda *_, **__: False)
    loop = ours(model, eos)
    monkeypatch.setattr(decoding, "growing_cache", lambda model: None)
    fallback = ours(model, eos)
    rows = range(len(LENGTHS))
    for found in (loop, fallback):
        assert found.ids == paced.ids
        assert found.reason == paced.reason
        assert [found.gap(i) for i in rows] == pytest.approx([paced.gap(i) for i in rows], abs=1e-4)


@pytest.mark.parametrize(
    "how", ["paced", pytest.param("loop", marks=pytest.mark.slow), pytest.param("generate", marks=pytest.mark.slow)]
)
def test_a_prompt_near_the_end_of_the_context_neither_breaks_nor_shortens_the_others(how, monkeypatch):
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=97, n_positions=64, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
    model = GPT2LMHeadModel(config).eval()
    model.generation_config = greedy_config(model, eos=[], pad=PAD)
    lengths = [10, 7, 10, 30, 5, 8, 9, 10, 6, 7, 11, 60, 12]
    asked = [torch.randint(1, 97, (n,), generator=torch.Generator().manual_seed(n)).tolist() for n in lengths]
    limits = [min(N_NEW, 64 - n) for n in lengths]
    assert limits.count(N_NEW) == len(limits) - 2  # few enough that rows which have ended stay in the batch

    def said(rows: slice) -> list[list[int]]:
        found = Rows(limits[rows], eos=[])
        decode(model, *left_padded(asked[rows], pad=PAD, device=model.device), found)
        return found.ids

    served: list[bool] = []
    if how != "paced":
        monkeypatch.setattr(decoding.paced, "decode", lambda *_: False)
    else:
        whole = decoding.paced.decode
        monkeypatch.setattr(decoding.paced, "decode", lambda *given: served.append(whole(*given)) or served[-1])
    if how == "generate":
        monkeypatch.setattr(decoding, "growing_cache", lambda model: None)
    together = said(slice(None))
    assert [len(row) for row in together] == limits
    for row, limit in enumerate(limits):
        ids = torch.tensor([asked[row]])
        alone = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=limit)
        assert together[row] == alone[0, lengths[row] :].tolist()
    assert all(served), "which decoder a batch gets would depend on its neighbours"


def test_repetition_penalty_of_the_model_is_kept(checkpoint):
    model = load(checkpoint("llama"))
    plain = reference(model, [])
    model.generation_config.repetition_penalty = 1.7
    model.generation_config.no_repeat_ngram_size = 3
    model.generation_config.suppress_tokens = [plain[0][0]]
    rows = ours(model, [])
    assert rows.ids != plain
    assert rows.ids == reference(model, [])


def test_sampling_settings_of_the_model_are_dropped(checkpoint):
    model = load(checkpoint("llama"))
    model.generation_config.temperature = 0.7
    model.generation_config.top_p = 0.9
    greedy = greedy_config(model, eos=[2], pad=0)
    assert greedy.do_sample is False
    assert greedy.temperature is None or greedy.temperature == 1.0


def test_gap_is_the_smallest_top_two_difference(checkpoint):
    model = load(checkpoint("gpt2"))
    rows = ours(model, [], n_new=5)
    for row, prompt in enumerate(prompts()):
        gaps: list[float] = []
        for n in range(5):
            with torch.no_grad():
                logits = model(torch.tensor([[*prompt, *rows.ids[row][:n]]])).logits[0, -1]
            best = logits.sort(descending=True).values
            gaps.append(float(best[0] - best[1]))
        assert rows.gap(row) == pytest.approx(min(gaps), abs=1e-4)


def test_nan_ends_its_own_row_only(checkpoint):
    model = load(checkpoint("llama", tied=False))
    clean = ours(model, [])
    poisoned = prompts()[3][-1]
    assert sum(poisoned in p for p in prompts()) == 1
    others = [r for r in range(len(LENGTHS)) if r != 3 and poisoned not in clean.ids[r]]
    assert len(others) >= 4
    with torch.no_grad():
        model.model.embed_tokens.weight[poisoned] = float("nan")
    rows = ours(model, [])
    assert (rows.broken[3], rows.reason[3], rows.ids[3]) == ("nan logits", "stop", [])
    for row in others:
        assert rows.ids[row] == clean.ids[row]
        assert rows.broken[row] == ""


@pytest.mark.parametrize("arch", ["llama", "gpt2", "mixtral"])
def test_nan_weights_break_every_row_without_a_crash(arch, checkpoint):
    model = load(checkpoint(arch))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(float("nan"))
    rows = ours(model, [2])
    assert rows.broken == ["nan logits"] * len(LENGTHS)


def test_infinite_logits_are_told_from_nan(checkpoint):
    model = load(checkpoint("llama", tied=False))
    with torch.no_grad():
        model.lm_head.weight.fill_(3e38)
    assert {*ours(model, []).broken} <= {"inf logits", "nan logits"} - {""}


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory. Tried …"), RuntimeError("DefaultCPUAllocator: can't allocate")],
)
def test_short_memory_is_a_memory_error_that_holds_no_tensors(error):
    with pytest.raises(MemoryError) as caught, memory_errors():
        raise error
    assert isinstance(caught.value.__context__, RuntimeError)
    assert caught.value.__context__.__traceback__ is None


def test_other_runtime_errors_are_not_hidden():
    with pytest.raises(RuntimeError, match="shape"), memory_errors():
        raise RuntimeError("shape mismatch")


# --- the cache --------------------------------------------------------------------------------------------------------


def test_growing_layer_holds_what_it_was_given():
    layer, states = GrowingLayer(), torch.randn(5, 2, 300, 4)
    for start in range(0, 300, 7):
        keys, values = layer.update(states[:, :, start : start + 7], states[:, :, start : start + 7] * 2)
    assert torch.equal(keys, states)
    assert torch.equal(values, states * 2)
    layer.reorder_cache(torch.tensor([4, 1]))
    keys, _ = layer.update(states[[4, 1], :, :1], states[[4, 1], :, :1])
    assert torch.equal(keys, torch.cat([states[[4, 1]], states[[4, 1], :, :1]], dim=2))
    assert layer.get_seq_length() == 301


@pytest.mark.slow
def test_a_model_that_keeps_its_state_to_itself_falls_back_to_generate():
    torch.manual_seed(0)
    config = RecurrentGemmaConfig(
        vocab_size=448, hidden_size=48, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=12, attention_window_size=16, lru_width=48, conv1d_width=4,
        bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config).eval()
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter) * 0.3
    assert growing_cache(model) is not None, "only a forward pass tells"
    eos = staggered_eos(model)
    rows = ours(model, eos)
    assert rows.ids == reference(model, eos)


def test_a_model_that_cannot_take_the_cache_falls_back_to_generate(checkpoint, monkeypatch, caplog):
    def update(*_: object) -> None:
        raise TypeError("no such cache")

    model = load(checkpoint("llama"))
    monkeypatch.setattr(decoding.paced, "decode", lambda *_: False)
    monkeypatch.setattr(GrowingLayer, "update", update)
    assert ours(model, []).ids == reference(model, [])
    assert "LlamaForCausalLM is decoded by `generate`: no such cache" in caplog.text
    assert decoding.read_prompt(model, prompts()[0]) is None


def test_a_model_that_transformers_cannot_run_either_is_help(checkpoint, monkeypatch):
    def forward(*_: object) -> None:
        raise RuntimeError("sizes differ")

    model = load(checkpoint("qwen2"))
    monkeypatch.setattr(model.model.rotary_emb, "forward", forward)
    with pytest.raises(ModelError, match=r"got 'Qwen2ForCausalLM'\. \(sizes differ\) Check its config\.json"):
        ours(model, [])


def test_rules_about_tokens_that_the_model_cannot_say_are_left_out(checkpoint):
    model = load(checkpoint("llama"))
    model.generation_config.suppress_tokens = [3, 512]
    model.generation_config.bad_words_ids = [[4], [5, 600]]
    found = greedy_config(model, eos=[2], pad=PAD, n_tokens=512)
    assert (found.suppress_tokens, found.bad_words_ids) == ([3], [[4]])
    model.generation_config.suppress_tokens = [900]
    assert greedy_config(model, eos=[2], pad=PAD, n_tokens=512).suppress_tokens is None
