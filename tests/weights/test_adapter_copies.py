"""A copy of an adapter times α is PEFT's own, and merged by anybody it is the point; what no copy says is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from helpers.models import make_lora, make_tiny_model
from safebasin.models.loading import load_causal
from safebasin.records import DirectionSpec, Point
from safebasin.weights.adapter_copies import rank_of, shape_of, why_merged, write_copy
from safebasin.weights.adapters import read_adapter
from safebasin.weights.base import HostWeights
from safebasin.weights.layout import Layout
from safebasin.weights.stream import Mover


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("m") / "llama")


def layout(folder: Path) -> Layout:
    return Layout.of(load_causal(folder))


KINDS = {
    "plain": {},
    "rsLoRA": {"use_rslora": True, "rank": 2, "alpha": 6},
    "ranks and scales of their own": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"down_proj": 3}},
}


@pytest.mark.slow
@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("alpha", [1.0, 0.25, -2.0])
def test_peft_merges_a_copy_to_the_point(tmp_path: Path, llama: Path, options: dict[str, object], alpha: float) -> None:
    from peft import PeftModel

    folder = make_lora(tmp_path / "a", llama, **options)  # type: ignore[arg-type]
    spec = DirectionSpec(kind="adapter", target=str(folder), normalize="none")
    adapter = read_adapter(folder, layout(llama))
    assert why_merged(spec, adapter, layout(llama)) is None
    write_copy(spec, alpha, adapter, tmp_path / "copy")
    merged = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(llama), tmp_path / "copy"
    ).merge_and_unload()
    there = dict(Mover(HostWeights(load_causal(llama))).tensors(Point.at((spec, alpha))))
    for name, tensor in merged.named_parameters():
        torch.testing.assert_close(tensor.detach(), there[name], rtol=1e-5, atol=1e-6, msg=name)


def test_pairs_of_a_smaller_rank_are_filled_with_zeros(tmp_path: Path, llama: Path) -> None:
    folder = make_lora(tmp_path / "a", llama, rank=4, rank_pattern={"q_proj": 2})
    spec, adapter = DirectionSpec(kind="adapter", target=str(folder)), read_adapter(folder, layout(llama))
    assert rank_of(spec, adapter) == 4
    assert {rank for name, rank in shape_of(spec, adapter) if "q_proj" in name} == {2}
    write_copy(spec, 0.5, adapter, tmp_path / "copy")
    tensors = load_file(tmp_path / "copy" / "adapter_model.safetensors")
    assert {tensor.shape[0] for name, tensor in tensors.items() if "lora_A" in name} == {4}
    assert json.loads((tmp_path / "copy" / "adapter_config.json").read_text())["r"] == 4


def test_only_leaves_pairs_out(tmp_path: Path, llama: Path) -> None:
    folder = make_lora(tmp_path / "a", llama, rank=4, rank_pattern={"q_proj": 2})
    spec = DirectionSpec(kind="adapter", target=str(folder), only="*.q_proj.*")
    adapter = read_adapter(folder, layout(llama))
    assert rank_of(spec, adapter) == 2
    write_copy(spec, 1.0, adapter, tmp_path / "copy")
    assert all("q_proj" in name for name in load_file(tmp_path / "copy" / "adapter_model.safetensors"))
    nothing = replace(spec, only="*.gone.*")
    assert why_merged(nothing, adapter, layout(llama)) == "it has no low-rank pair that moves"


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`:UserWarning")
@pytest.mark.parametrize(
    ("arch", "options", "why"),
    [
        ("llama", {"modules_to_save": ["norm"]}, "it replaces model.layers.0.input_layernorm.weight outright"),
        ("qwen2", {"bias": "all"}, "it replaces model.layers.0.self_attn.k_proj.bias outright"),
        ("llama", {"targets": ["q_proj", "embed_tokens"]}, "an embedding or the head (model.embed_tokens.weight)"),
        ("llama", {"targets": ["q_proj", "lm_head"]}, "an embedding or the head (lm_head.weight)"),
    ],
)
def test_what_is_more_than_pairs_on_linear_layers_is_merged(
    tmp_path: Path, arch: str, options: dict[str, object], why: str
) -> None:
    model = make_tiny_model(tmp_path / "m", arch)
    folder = make_lora(tmp_path / "a", model, **{"targets": ["q_proj"], **options})  # type: ignore[arg-type]
    spec = DirectionSpec(kind="adapter", target=str(folder))
    assert why in (why_merged(spec, read_adapter(folder, layout(model)), layout(model)) or "nothing")


def test_a_direction_that_is_orthogonal_to_another_is_no_copy_of_its_adapter(tmp_path: Path, llama: Path) -> None:
    folder = make_lora(tmp_path / "a", llama)
    spec = DirectionSpec(kind="adapter", target=str(folder), orthogonal_to=(DirectionSpec(kind="random"),))
    why = why_merged(spec, read_adapter(folder, layout(llama)), layout(llama))
    assert why == "the direction is made orthogonal to another"
