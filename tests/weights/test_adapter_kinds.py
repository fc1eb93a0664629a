"""Adapters that are no plain LoRA are refused by name, and each remedy leads to the model that was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from helpers.models import make_tiny_model, make_tokenizer
from safebasin.errors import ModelError
from safebasin.records import DirectionSpec, Point
from safebasin.weights.adapter_kinds import refuse_other_kinds
from safebasin.weights.adapters import merge_adapter
from safebasin.weights.base import HostWeights
from safebasin.weights.stream import apply, prepare, weights_at

IDS = torch.arange(1, 33)[None]
Trained = tuple[Path, torch.Tensor]
"""An adapter's folder, and the logits of the model that was trained with it, before any merge."""


def load(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder)


def logits(module: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return module.eval()(IDS).logits


def train(base: Path, folder: Path, *, convert: bool = False, **options: Any) -> Trained:
    """An adapter with every trained tensor moved in place, which keeps tied ones tied, saved by PEFT."""
    from peft import LoraConfig, get_peft_model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = get_peft_model(load(base), LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", **options))
        if convert:
            model.peft_config["default"].init_lora_weights = True
            model.save_pretrained(folder / "start")
            model.peft_config["default"].init_lora_weights = options["init_lora_weights"]
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data.add_(torch.randn_like(parameter) * 0.1)
    given = {"path_initial_model_for_weight_conversion": str(folder / "start")} if convert else {}
    trained = logits(model)
    model.save_pretrained(folder, **given)
    return folder, trained


def merge(base: Any, adapter: Path, folder: Path) -> Path:
    """As the message says: merge_and_unload, save_pretrained of model and tokenizer."""
    from peft import PeftModel

    PeftModel.from_pretrained(base, adapter).merge_and_unload().save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


def at_1(base: Path, spec: DirectionSpec) -> nn.Module:
    """The base moved along a direction to α = 1."""
    module = load(base)
    held = HostWeights(load(base))
    apply(weights_at(held, Point.at((spec, 1.0)), prepare([spec], held)), module)
    return module


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("m") / "llama")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:peft", "ignore::RuntimeWarning:peft")
@pytest.mark.parametrize(
    ("arch", "options", "kind"),
    [
        ("llama", {"target_modules": ["q_proj", "down_proj"], "use_dora": True}, "DoRA"),
        ("llama", {"target_modules": ["q_proj"], "trainable_token_indices": [5, 6]}, "LoRA with trainable tokens"),
        ("llama", {"target_modules": ["q_proj"], "init_lora_weights": "pissa"}, "LoRA begun by pissa"),
        ("llama", {"target_modules": ["q_proj"], "init_lora_weights": "olora"}, "LoRA begun by olora"),
        ("qwen2", {"target_modules": ["q_proj"], "lora_bias": True}, "LoRA with a bias on B"),
        (
            "mixtral",
            {"target_modules": ["q_proj"], "target_parameters": ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]},
            "LoRA on bare parameters",
        ),
    ],
)
def test_what_is_to_be_merged_is_the_trained_model_once_it_is(
    tmp_path: Path, arch: str, options: dict[str, Any], kind: str
) -> None:
    base = make_tiny_model(tmp_path / "m", arch)
    adapter, trained = train(base, tmp_path / "a", **options)
    with pytest.raises(ModelError, match=rf"plain LoRA; got '{kind}'\. Merge it .* use to:FOLDER, or FOLDER"):
        merge_adapter(load(base), adapter)
    merged = merge(load(base), adapter, tmp_path / "merged")
    reached = logits(at_1(base, DirectionSpec(kind="to", target=str(merged))))
    torch.testing.assert_close(reached, trained, rtol=0, atol=1e-3)
    assert (reached - logits(load(base))).abs().max() > 0.1


@pytest.mark.filterwarnings("ignore::UserWarning:peft")
def test_a_random_start_is_converted_where_it_was_trained(tmp_path: Path, llama: Path) -> None:
    """Merged from its files it would be another model: the part that was taken out of the base is drawn anew."""
    start = {"target_modules": ["q_proj"], "init_lora_weights": "pissa_niter_4"}
    adapter, trained = train(llama, tmp_path / "a", **start)
    with pytest.raises(ModelError, match=r"LoRA begun by pissa_niter_4'\. It took a part out of the base.*conversion"):
        merge_adapter(load(llama), adapter)
    wrong = logits(load(merge(load(llama), adapter, tmp_path / "merged")))
    assert (wrong - trained).abs().max() > 1
    converted, trained = train(llama, tmp_path / "c", convert=True, **start)
    module = load(llama)
    merge_adapter(module, converted)
    torch.testing.assert_close(logits(module), trained, rtol=0, atol=1e-3)


@pytest.mark.filterwarnings("ignore::UserWarning:peft")
@pytest.mark.parametrize(
    "options",
    [
        {"target_modules": ["q_proj", "lm_head"]},
        {"target_modules": ["q_proj", "embed_tokens"]},
        {"target_modules": ["embed_tokens", "lm_head"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
    ],
)
def test_an_adapter_that_unties_its_base_and_the_lines_of_the_how_to(tmp_path: Path, options: dict[str, Any]) -> None:
    """PEFT merges both pairs into the tensor that both names share: neither is the model that was trained."""
    base = make_tiny_model(tmp_path / "m", tied=True)
    adapter, trained = train(base, tmp_path / "a", **options)
    with pytest.raises(ModelError, match=r"keeps tied weights tied.*docs/howto\.md"):
        merge_adapter(load(base), adapter)
    model = load(base)
    model.lm_head.weight = torch.nn.Parameter(model.get_input_embeddings().weight.detach().clone())
    model.config.tie_word_embeddings = False
    merged = merge(model, adapter, tmp_path / "merged")
    torch.testing.assert_close(logits(load(merged)), trained, rtol=0, atol=1e-3)
    text = (Path(__file__).parents[2] / "docs" / "howto.md").read_text(encoding="utf-8")
    assert "model.lm_head.weight = torch.nn.Parameter(model.get_input_embeddings().weight.detach().clone())" in text
    assert "model.config.tie_word_embeddings = False" in text


@pytest.mark.filterwarnings("ignore::UserWarning:peft")
@pytest.mark.parametrize("target", ["embed_tokens", "lm_head"])
def test_a_pair_that_peft_ties_moves_the_tied_tensor_once(tmp_path: Path, target: str) -> None:
    """Its own merge adds it twice; what was trained, and is served unmerged, moved once."""
    base = make_tiny_model(tmp_path / "m", tied=True)
    adapter, trained = train(base, tmp_path / "a", target_modules=["q_proj", target], ensure_weight_tying=True)
    module = load(base)
    merge_adapter(module, adapter)
    torch.testing.assert_close(logits(module), trained, rtol=0, atol=1e-3)
    reached = logits(at_1(base, DirectionSpec(kind="adapter", target=str(adapter))))
    torch.testing.assert_close(reached, trained, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "IA3"}, r"got 'IA3'\. Merge it"),
        ({"peft_type": "PREFIX_TUNING"}, r"got 'PREFIX_TUNING'\. It changes no weight of the model"),
        ({"peft_type": "PROMPT_TUNING"}, r"got 'PROMPT_TUNING'\. It changes no weight of the model"),
        ({"peft_type": "XLORA"}, r"got 'XLORA'\. It is no single set of weights"),
        ({"alora_invocation_tokens": [1]}, r"got 'aLoRA'\. It is no single set of weights"),
        ({"layer_replication": [[0, 2], [0, 2]]}, "It is no single set of weights"),
        ({"init_lora_weights": "corda"}, "conversion"),
        ({"init_lora_weights": "loftq"}, "conversion"),
    ],
)
def test_each_kind_has_a_remedy_that_is_true_of_it(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        refuse_other_kinds({"peft_type": "LORA", "r": 4, **changes}, has_bias=False)


@pytest.mark.filterwarnings("ignore::UserWarning:peft")
def test_a_bias_on_b_is_not_told_to_be_merged_into_layers_without_one(tmp_path: Path, llama: Path) -> None:
    adapter, _ = train(llama, tmp_path / "a", target_modules=["q_proj"], lora_bias=True)
    with pytest.raises(ModelError, match=r"a bias on B'\. Layers of this model have no bias"):
        merge_adapter(load(llama), adapter)
    with pytest.raises(RuntimeError, match="has no bias"):
        merge(load(llama), adapter, tmp_path / "merged")


@pytest.mark.parametrize("start", [True, False, None, "gaussian", "eva", "orthogonal"])
def test_other_starts_are_plain_lora(start: object) -> None:
    refuse_other_kinds({"peft_type": "LORA", "init_lora_weights": start}, has_bias=False)
