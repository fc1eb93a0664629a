"""Sizes of models, from headers or config.json: against loaded modules, published counts and the counter of torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM

from helpers.models import ARCHITECTURES, make_tiny_model
from safebasin.errors import ModelError
from safebasin.models.sizes import CacheShape, even_batch, sizes_of
from safebasin.run.pricing.work import decode_flops

LLAMA_7B = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 32000,
    "max_position_embeddings": 4096, "tie_word_embeddings": False, "torch_dtype": "float16",
}  # fmt: skip
LLAMA_70B = {
    **LLAMA_7B, "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64,
    "num_key_value_heads": 8,
}  # fmt: skip


def write_config(folder: Path, config: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_sizes_are_those_of_the_loaded_model_with_and_without_its_weights(arch: str, tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "model", arch)
    module = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    sizes = sizes_of(folder)
    assert sizes.parameters == module.num_parameters()
    assert sizes.stored_bytes == sum(p.numel() * p.element_size() for p in module.parameters())

    ids = torch.arange(8, 40)[None]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        cache = module(ids, use_cache=True).past_key_values
    counted = counter.get_total_flops()
    if arch != "mixtral":  # whose experts torch's counter does not see through
        assert decode_flops(sizes, 32, 32) == pytest.approx(counted, rel=0.06)
    held = sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)
    windows = arch in ("gemma2", "gemma3", "mistral")  # a window of 16 holds less
    assert sizes.cache.cache_bytes(32, 4) >= 4 * held if windows else sizes.cache.cache_bytes(32, 4) == 4 * held

    for file in folder.glob("*.safetensors*"):
        file.unlink()
    promised = sizes_of(folder)
    assert promised.stored_bytes is None
    assert (promised.parameters, promised.body, promised.head) == (sizes.parameters, sizes.body, sizes.head)


def test_experts_that_a_token_is_not_sent_to_are_idle(tmp_path: Path) -> None:
    sizes = sizes_of(make_tiny_model(tmp_path / "model", "mixtral"))
    experts = 2 * 4 * 3 * 64 * 128  # layers × experts × matrices of 64 × 128, of which a token uses two in four
    assert sizes.parameters - 2 * sizes.head - sizes.body == experts // 2


@pytest.mark.parametrize(("config", "parameters"), [(LLAMA_7B, 6_738_415_616), (LLAMA_70B, 68_976_648_192)])
def test_models_that_are_not_here_have_their_published_size(
    config: dict[str, Any], parameters: int, tmp_path: Path
) -> None:
    sizes = sizes_of(write_config(tmp_path / "model", config))
    assert (sizes.parameters, sizes.stored_bytes, sizes.dtype) == (parameters, None, "float16")
    # a token of Llama 2 70B: 80 layers × 8 heads × 128 × keys and values × 2 bytes
    assert sizes.cache.cache_bytes(1, 2) == 2 * 2 * 128 * config["num_key_value_heads"] * config["num_hidden_layers"]


def test_an_architecture_without_sizes_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_config(tmp_path / "model", {k: v for k, v in LLAMA_7B.items() if k != "vocab_size"})
    (folder / "config.json").write_text(json.dumps({"model_type": "mamba", "hidden_size": 64, "vocab_size": 512}))
    with pytest.raises(ModelError, match="num_hidden_layers, num_attention_heads not found"):
        sizes_of(folder)


def test_batches_are_of_nearly_one_size_and_of_what_fits() -> None:
    shape = CacheShape(layers=2, key_heads=1, width=8, hidden=16, vocabulary=100)
    assert shape.cache_bytes(10, 4) == 2 * 2 * 8 * 10 * 4
    row = 1.3 * shape.cache_bytes(10, 4) + 12 * 100 + 8 * 256 * 16 * 4
    assert shape.rows(10 * row / 0.6 + 1, 10, 4) == 10
    assert shape.rows(0.5 * row, 10, 4) == 0
    assert [even_batch(80, 60), even_batch(80, 200), even_batch(300, 200), even_batch(5, 0)] == [40, 80, 100, 1]
