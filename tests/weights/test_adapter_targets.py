"""All of an adapter is applied, or it is refused naming what would not be; what PEFT takes as whole is whole here."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from helpers.models import make_lora, make_tiny_model
from safebasin.errors import ModelError
from safebasin.weights.adapter_targets import check_applied, matches_pattern
from safebasin.weights.adapters import read_adapter
from safebasin.weights.layout import Layout


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("m") / "base", "qwen2")


@pytest.fixture(scope="module")
def layout(base: Path) -> Layout:
    return Layout.of(AutoModelForCausalLM.from_pretrained(base))


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    options: dict[str, Any] = {"modules_to_save": ["lm_head"], "bias": "lora_only"}
    return make_lora(tmp_path_factory.mktemp("a") / "lora", base, targets=["q_proj", "down_proj"], **options)


def changed(
    lora: Path, into: Path, config: Mapping[str, object] | None = None, *, leave_out: str = "", rename: str = ""
) -> Path:
    """A copy with other entries, without the tensors whose names hold a text, or with all names begun by another."""
    into.mkdir()
    told = {**json.loads((lora / "adapter_config.json").read_text()), **(config or {})}
    (into / "adapter_config.json").write_text(json.dumps(told))
    kept = {
        k: v for k, v in load_file(lora / "adapter_model.safetensors").items() if not leave_out or leave_out not in k
    }
    if rename:
        kept = {k.replace("base_model.model.", f"base_model.model.{rename}"): v for k, v in kept.items()}
    save_file(kept, into / "adapter_model.safetensors")
    return into


@pytest.mark.parametrize(
    "options",
    [
        {"targets": "all-linear"},
        {"targets": ["q_proj", "k_proj"], "layers_to_transform": [1]},
        {"targets": ["q_proj"], "layers_to_transform": 0, "layers_pattern": "layers"},
        {"targets": r".*\.layers\.1\..*(q|v)_proj"},
        {"targets": ["q_proj", "o_proj"], "exclude_modules": r".*layers\.0.*"},
        {"targets": ["self_attn.q_proj", "model.layers.1.mlp.up_proj"]},
        {"targets": ["q_proj"], "modules_to_save": ["norm"]},
        {"targets": ["q_proj", "up_proj"], "modules_to_save": ["mlp"]},
        {"targets": ["q_proj", "lm_head"], "modules_to_save": ["lm_head"]},
        {"targets": ["q_proj"], "modules_to_save": ["classifier"]},
        {"targets": ["q_proj"], "bias": "all"},
        {"targets": "all-linear", "rank_pattern": {"q_proj": 2}, "alpha_pattern": {r".*\.0\..*v_proj": 3}},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::UserWarning:peft")
def test_what_peft_saves_is_whole(tmp_path: Path, base: Path, layout: Layout, options: dict[str, Any]) -> None:
    adapter = read_adapter(make_lora(tmp_path / "a", base, **options), layout)
    assert adapter.low_rank
    if "modules_to_save" in options and options["modules_to_save"] != ["classifier"]:
        assert adapter.replaced


@pytest.mark.parametrize(
    ("changes", "leave_out", "message"),
    [
        ({}, "lora_A", "lora_B.weight"),
        ({}, "layers.1.mlp.down_proj", r"missing: model\.layers\.1\.mlp\.down_proj\.weight"),
        ({}, "lm_head", r"missing: lm_head\.weight"),
        ({}, "bias", r"missing: model\.layers\.0\.self_attn\.q_proj\.bias, model\.layers\.1\.self_attn\.q_proj\.bias"),
        ({"target_modules": r".*(q|down|up)_proj"}, "", r"missing: model\.layers\.0\.mlp\.up_proj\.weight"),
        ({"target_modules": ["q_proj"]}, "", r"unexpected: model\.layers\.0\.mlp\.down_proj\.lora_A"),
        ({"layers_to_transform": [0]}, "", r"unexpected: model\.layers\.1\.mlp\.down_proj\.lora_A"),
        ({"exclude_modules": ["down_proj"]}, "", r"unexpected: model\.layers\.0\.mlp\.down_proj\.lora_A"),
        ({"target_modules": ["wq"]}, "", "unexpected"),
        ({"rank_pattern": {"query": 4}}, "", r"each rank_pattern the name of a layer with a pair; got 'query'"),
        ({"alpha_pattern": {"k_proj": 4, "q_proj": 8}}, "", "each alpha_pattern .* got 'k_proj'"),
        ({"r": 8}, "", r"true of the adapter \(r, rank_pattern: model\.layers\.0\.mlp\.down_proj has rank 4\); got 8"),
        ({"rank_pattern": {"q_proj": 2}}, "", r"self_attn\.q_proj has rank 4\); got 2"),
        ({"target_modules": "(("}, "", "complete .names and patterns of modules"),
    ],
)
def test_what_would_not_be_applied_is_named(
    tmp_path: Path, lora: Path, layout: Layout, changes: dict[str, object], leave_out: str, message: str
) -> None:
    adapter = changed(lora, tmp_path / "a", changes, leave_out=leave_out)
    with pytest.raises(ModelError, match=message) as caught:
        read_adapter(adapter, layout)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "base_model.model.", "language_model."])
def test_weights_under_other_names_are_not_taken_for_none(
    tmp_path: Path, lora: Path, layout: Layout, prefix: str
) -> None:
    with pytest.raises(ModelError, match="no such tensor"):
        read_adapter(changed(lora, tmp_path / "a", rename=prefix), layout)


def test_an_adapter_without_a_tensor_is_none(layout: Layout) -> None:
    with pytest.raises(ModelError, match=r"one with trained tensors; got 'empty'\. It holds none"):
        check_applied({"target_modules": ["wq", "wk"]}, layout, [], [], "empty")


def test_a_target_that_the_model_lacks_is_pointed_out_once_where_all_that_was_saved_is_applied(
    tmp_path: Path, lora: Path, layout: Layout, caplog: pytest.LogCaptureFixture
) -> None:
    """Recipes name the layers of several architectures; what was trained is in the file and applied."""
    adapter = changed(lora, tmp_path / "wide", {"target_modules": ["q_proj", "down_proj", "W_pack"]})
    for _ in range(2):
        read_adapter(adapter, layout)
    assert [r.getMessage() for r in caplog.records] == [
        "adapter wide: no layer of the model is called W_pack; all that it holds is applied"
    ]


def test_an_adapter_that_changes_nothing_is_pointed_out(
    tmp_path: Path, base: Path, layout: Layout, caplog: pytest.LogCaptureFixture
) -> None:
    fresh = make_lora(tmp_path / "fresh", base, targets=["q_proj"])
    path = fresh / "adapter_model.safetensors"
    save_file({k: torch.zeros_like(v) if "lora_B" in k else v for k, v in load_file(path).items()}, path)
    with caplog.at_level(logging.WARNING):
        read_adapter(fresh, layout)
    assert "adapter fresh changes nothing: B is zero in each of its pairs" in caplog.text


def test_patterns_mean_the_ends_of_names() -> None:
    assert matches_pattern("q_proj", "model.layers.0.self_attn.q_proj")
    assert matches_pattern(r"layers\.0\..*", "model.layers.0.self_attn.q_proj")
    assert not matches_pattern("proj", "model.layers.0.self_attn.q_proj")
