"""Which models are decoded at each row's own pace: those whose logits come out as their own, and no others."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from helpers.models import ARCHITECTURES, load_endless
from safebasin.engines.paced import grouped
from safebasin.engines.paced.proving import _Trial, any_model


def test_half_precision_and_moving_positions_are_left_to_the_loop(checkpoint):
    assert any_model(load_endless(checkpoint("qwen2", dtype="bfloat16")), 100) is None
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    config = AutoConfig.from_pretrained(checkpoint("qwen2"), rope_parameters=rope)
    assert any_model(AutoModelForCausalLM.from_config(config).eval(), 100) is None


def test_a_model_that_is_hooked_is_left_to_the_loop_while_it_is(checkpoint):
    model = load_endless(checkpoint("qwen2"))
    handle = model.model.layers[0].register_forward_hook(lambda *_: None)
    assert any_model(model, 100) is None
    handle.remove()
    assert any_model(model, 100) is not None


def test_a_model_that_minds_its_own_positions_is_found_out(checkpoint, monkeypatch):
    model = load_endless(checkpoint("qwen2"))
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
    model, tried = load_endless(checkpoint("mistral")), []
    plain = _Trial.__init__
    monkeypatch.setattr(_Trial, "__init__", lambda self, *given: tried.append(given[2]) or plain(self, *given))
    for longest in (20, 64, 30, 65, 250):
        assert any_model(model, longest) is not None
    assert tried == [64, 128, 256]


def test_broken_weights_tell_nothing_about_a_model(checkpoint):
    model = load_endless(checkpoint("qwen2"))
    kept = [parameter.clone() for parameter in model.parameters()]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(float("nan"))
        assert any_model(model, 100) is None
        for parameter, value in zip(model.parameters(), kept, strict=True):
            parameter.copy_(value)
    assert any_model(model, 100) is not None


@pytest.fixture
def raising(checkpoint, monkeypatch):
    """Makes a model each pass of which raises an error."""

    def make(error: Exception) -> PreTrainedModel:
        def forward(x: torch.Tensor, at: torch.Tensor) -> None:
            raise error

        model = load_endless(checkpoint("qwen2"))
        monkeypatch.setattr(model.model.rotary_emb, "forward", forward)
        return model

    return make


def test_a_model_that_raises_is_left_to_the_loop(raising):
    assert any_model(raising(TypeError("no such cache")), 100) is None


def test_a_full_device_is_no_fault_of_a_model(raising):
    with pytest.raises(torch.OutOfMemoryError):
        any_model(raising(torch.OutOfMemoryError("CUDA out of memory.")), 100)


def test_a_model_that_raises_where_parts_are_tried_takes_them_apart(checkpoint, monkeypatch):
    monkeypatch.setattr(_Trial, "at_once", lambda _: [][0])
    forward = any_model(load_endless(checkpoint("qwen2")), 100)
    assert forward is not None
    assert not forward.at_once


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_models_that_attend_through_transformers_take_parts_at_once(arch, checkpoint):
    forward = any_model(load_endless(checkpoint(arch)), 40)
    assert forward is not None
    assert forward.at_once
    eager = any_model(load_endless(checkpoint(arch), attn_implementation="eager"), 40)
    assert eager is None or not eager.at_once, "its attention is its own"


def test_a_model_that_mixes_up_parts_takes_them_apart(checkpoint, monkeypatch):
    model = load_endless(checkpoint("qwen2"))
    monkeypatch.setattr(grouped, "_apart", lambda module, query, parts, given: (query.transpose(1, 2), None))
    forward = any_model(model, 40)
    assert forward is not None
    assert not forward.at_once
