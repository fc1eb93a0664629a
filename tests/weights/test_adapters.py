"""Adapters equal PEFT's own merge; what is no ΔW is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCausalLM

from helpers.models import make_lora, make_tiny_model, make_tokenizer
from safebasin.errors import ModelError
from safebasin.models.reference import resolve
from safebasin.records import DirectionSpec, Point
from safebasin.weights.adapters import LowRank, merge_adapter, read_adapter
from safebasin.weights.base import HostWeights, MappedWeights, open_base
from safebasin.weights.layout import Layout
from safebasin.weights.stream import apply, digest, prepare, weights_at


def load(folder: Path, **given: object) -> nn.Module:
    return AutoModelForCausalLM.from_pretrained(folder, **given)


def change(folder: Path, **changes: object) -> Path:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


@pytest.mark.parametrize("transposed", [False, True])
def test_rows_are_the_same_bits_whatever_is_asked_for_beside_them(transposed: bool) -> None:
    a, b = (
        torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        for seed, shape in enumerate([(8, 300), (310, 8)])
    )
    part = LowRank(a=a, b=b, scaling=0.5, transposed=transposed)
    n_rows = part.shape[0]
    whole = part.rows(0, n_rows)
    product = 0.5 * sum(torch.outer(b[:, rank].double(), a[rank].double()) for rank in range(8))
    torch.testing.assert_close(whole, product.T if transposed else product, rtol=1e-12, atol=1e-14)
    for start, stop in ((0, 1), (1, 128), (127, 129), (128, 256), (5, 290), (n_rows - 1, n_rows)):
        assert torch.equal(part.rows(start, stop), whole[start:stop])


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("m") / "llama")


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory, llama: Path) -> Path:
    return make_lora(tmp_path_factory.mktemp("a") / "lora", llama, targets=["q_proj", "down_proj"])


def test_adapter_direction_equals_peft(tmp_path: Path, llama: Path) -> None:
    from peft import PeftModel

    adapter = make_lora(tmp_path / "a", llama)
    base = HostWeights(load(llama))
    spec = DirectionSpec(kind="adapter", target=str(adapter))
    module = load(llama)
    apply(weights_at(base, Point.at((spec, 1.0)), prepare([spec], base)), module)
    merged = PeftModel.from_pretrained(load(llama), adapter).merge_and_unload()
    for (name, ours), (_, theirs) in zip(module.named_parameters(), merged.named_parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "options"),
    [
        ("llama", {"use_rslora": True}),
        ("llama", {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 3}}),
        ("llama", {"modules_to_save": ["lm_head"], "targets": ["q_proj", "v_proj"]}),
        ("gpt_neox", {"bias": "all", "targets": ["query_key_value", "dense"]}),
        ("gpt2", {"targets": ["c_attn", "c_proj"], "fan_in_fan_out": True}),
    ],
)
def test_a_reference_with_an_adapter_is_the_merged_model(tmp_path: Path, arch: str, options: dict) -> None:
    from peft import PeftModel

    from safebasin.weights.adapters import merge_adapter

    folder = make_tiny_model(tmp_path / "m", arch)
    adapter = make_lora(tmp_path / "a", folder, **options)
    module = load(folder)
    merge_adapter(module, adapter)
    merged = PeftModel.from_pretrained(load(folder), adapter).merge_and_unload()
    ours = dict(module.named_parameters())
    moved = 0
    for name, theirs in merged.named_parameters():
        bare = name.replace("modules_to_save.default.", "").replace("original_module.", "")
        torch.testing.assert_close(ours[bare], theirs, rtol=1e-5, atol=1e-6, msg=name)
        moved += not torch.equal(theirs, dict(load(folder).named_parameters())[bare])
    assert moved
    assert resolve(f"{folder}+{adapter}").adapter == adapter


def test_dora_and_an_adapter_for_another_base_are_refused_by_name(tmp_path: Path, llama: Path) -> None:
    dora = make_lora(tmp_path / "dora", llama, use_dora=True)
    other = make_lora(tmp_path / "other", make_tiny_model(tmp_path / "q", "gpt_neox"), targets=["query_key_value"])
    base = HostWeights(load(llama))
    for adapter, message in ((dora, "plain LoRA; got 'DoRA'"), (other, "adapter must be made for this model")):
        with pytest.raises(ModelError, match=message):
            prepare([DirectionSpec(kind="adapter", target=str(adapter))], base)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_direction_at_1_is_the_reference_with_the_adapter_bit_for_bit(tmp_path: Path, dtype: str) -> None:
    folder = make_tiny_model(tmp_path / "m", dtype=dtype)
    adapter = make_lora(tmp_path / "a", folder, targets=["q_proj", "v_proj"], modules_to_save=["lm_head"])
    spec = DirectionSpec(kind="adapter", target=str(adapter))
    for low_memory in (True, False):
        base = open_base(load(folder), folder, low_memory=low_memory)
        assert isinstance(base, MappedWeights) is low_memory
        merged = open_base(load(folder), folder, low_memory=low_memory, adapter=adapter)
        point = Point.at((spec, 1.0))
        there = digest(weights_at(merged, Point(), {}))
        assert digest(weights_at(base, point, prepare([spec], base))) == there
        assert there != digest(weights_at(base, Point(), {}))


def test_low_rank_times_alpha_by_hand(llama: Path, lora: Path) -> None:
    base = HostWeights(load(llama))
    spec = DirectionSpec(kind="adapter", target=str(lora))
    delta = prepare([spec], base)[spec]
    stored = load_file(lora / "adapter_model.safetensors")
    prefix = "base_model.model.model.layers.1.mlp.down_proj"
    product = stored[f"{prefix}.lora_B.weight"].double() @ stored[f"{prefix}.lora_A.weight"].double()
    found = delta.rows("model.layers.1.mlp.down_proj.weight", 3, 20)
    torch.testing.assert_close(found, 2 * product[3:20], rtol=1e-14, atol=0)
    assert delta.rows("model.layers.1.mlp.up_proj.weight", 0, 1) is None


def test_the_layer_and_not_the_config_says_what_is_transposed(tmp_path: Path) -> None:
    from peft import PeftModel

    folder = make_tiny_model(tmp_path / "m", "gpt2")
    adapter = make_lora(tmp_path / "a", folder, targets=["c_attn", "c_proj"], fan_in_fan_out=True)
    change(adapter, fan_in_fan_out=False)
    module = load(folder)
    merge_adapter(module, adapter)
    with pytest.warns(UserWarning, match="fan_in_fan_out is set to False"):
        merged = PeftModel.from_pretrained(load(folder), adapter).merge_and_unload()
    for (name, ours), (_, theirs) in zip(module.named_parameters(), merged.named_parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6, msg=name)


def test_an_adapter_of_embeddings(tmp_path: Path, llama: Path) -> None:
    from peft import PeftModel

    with pytest.warns(UserWarning, match="embedding layers"):
        adapter = make_lora(tmp_path / "a", llama, targets=["embed_tokens", "q_proj"])
    stored = load_file(adapter / "adapter_model.safetensors")
    assert "base_model.model.model.embed_tokens.base_layer.weight" in stored, "PEFT stores the embedding beside it"
    module = load(llama)
    spec = DirectionSpec(kind="adapter", target=str(adapter))
    base = HostWeights(module)
    direction = digest(weights_at(base, Point.at((spec, 1.0)), prepare([spec], base)))
    merge_adapter(module, adapter)
    merged = PeftModel.from_pretrained(load(llama), adapter).merge_and_unload()
    assert not torch.equal(merged.model.embed_tokens.weight, load(llama).model.embed_tokens.weight)
    assert direction == digest(weights_at(HostWeights(module), Point(), {}))
    for (name, ours), (_, theirs) in zip(module.named_parameters(), merged.named_parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6, msg=name)


def rewritten(folder: Path, tensors: dict[str, torch.Tensor], into: Path) -> Path:
    into.mkdir()
    (into / "adapter_config.json").write_text((folder / "adapter_config.json").read_text())
    save_file(tensors, into / "adapter_model.safetensors")
    return into


def test_a_tied_tensor_moves_once_under_both_of_its_names_and_is_not_untied(tmp_path: Path, lora: Path) -> None:
    module = load(make_tiny_model(tmp_path / "m", tied=True))
    layout = Layout.of(module)
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(4, 64, generator=generator), torch.randn(512, 4, generator=generator)
    prefix = "base_model.model.lm_head"
    lora = change(rewritten(lora, {}, tmp_path / "lora"), target_modules=["lm_head"])
    pair = {f"{prefix}.lora_A.weight": a, f"{prefix}.lora_B.weight": b}
    with pytest.raises(ModelError, match=r"keeps tied weights tied; got 'lm_head\.weight'.*Untie the base"):
        read_adapter(rewritten(lora, pair, tmp_path / "head"), layout)
    under = "base_model.model.model.embed_tokens.lora_embedding"
    same = {**pair, f"{under}_A": b.T.contiguous(), f"{under}_B": a.T.contiguous()}
    found = read_adapter(rewritten(lora, same, tmp_path / "same"), layout).rows("model.embed_tokens.weight", 0, 512)
    torch.testing.assert_close(found, 2 * b.double() @ a.double())
    other = {**same, f"{under}_A": b.T.contiguous() * 1.01}
    with pytest.raises(ModelError, match="keeps tied weights tied"):
        read_adapter(rewritten(lora, other, tmp_path / "other"), layout)
    head, embedding = f"{prefix}.weight", "base_model.model.model.embed_tokens.weight"
    both = rewritten(lora, {head: b @ a, embedding: b @ a}, tmp_path / "both")
    assert torch.equal(read_adapter(both, layout).replaced["model.embed_tokens.weight"], b @ a)
    one = rewritten(lora, {head: b @ a}, tmp_path / "one")
    with pytest.raises(ModelError, match=r"one that keeps tied weights tied; got 'lm_head\.weight'"):
        read_adapter(one, layout)


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`:UserWarning")
def test_an_adapter_of_added_tokens_and_its_remedy_followed(tmp_path: Path, llama: Path) -> None:
    from peft import LoraConfig, PeftModel, get_peft_model

    from safebasin.engines.hf import HFEngine

    grown = load(llama)
    grown.resize_token_embeddings(515)
    config = LoraConfig(
        r=2, target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"], task_type="CAUSAL_LM"
    )
    get_peft_model(grown, config).save_pretrained(tmp_path / "a")
    with pytest.raises(
        ModelError, match=r"vocabulary \(512 tokens\); got 'a'\. It was trained after 3 tokens were added"
    ) as e:
        merge_adapter(load(llama), tmp_path / "a")
    assert "resize_token_embeddings(515)" in str(e.value)
    model = load(llama)
    model.resize_token_embeddings(515)
    merged = PeftModel.from_pretrained(model, tmp_path / "a").merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    make_tokenizer().save_pretrained(tmp_path / "merged")
    assert HFEngine(str(tmp_path / "merged"), device="cpu").base.shape("lm_head.weight") == (515, 64)


@pytest.mark.filterwarnings("ignore:The following (rank|alpha)_pattern keys did not match:RuntimeWarning")
def test_an_adapter_on_experts_one_by_one_and_its_remedy_followed(tmp_path: Path) -> None:
    """Older releases held each expert in a layer of its own; the published adapters of Mixtral are such."""
    from peft import PeftModel

    base = make_tiny_model(tmp_path / "m", "mixtral")
    attention = make_lora(tmp_path / "q", base, targets=["q_proj"])
    prefix = "base_model.model.model.layers.1.block_sparse_moe.experts.2.w2"
    pair = {f"{prefix}.lora_A.weight": torch.ones(4, 128) * 0.1, f"{prefix}.lora_B.weight": torch.ones(64, 4) * 0.1}
    every = {}
    for layer in range(2):
        for expert in range(4):
            for name, (out, into) in {"w1": (128, 64), "w2": (64, 128), "w3": (128, 64)}.items():
                key = f"base_model.model.model.layers.{layer}.block_sparse_moe.experts.{expert}.{name}"
                every |= {f"{key}.lora_A.weight": torch.zeros(4, into), f"{key}.lora_B.weight": torch.zeros(out, 4)}
    adapter = change(rewritten(attention, {**every, **pair}, tmp_path / "a"), target_modules=["w1", "w2", "w3"])
    with pytest.raises(ModelError, match=r"all experts of a layer in one tensor.*Merge it .* use to:FOLDER"):
        merge_adapter(load(base), adapter)
    PeftModel.from_pretrained(load(base), adapter).merge_and_unload().save_pretrained(tmp_path / "merged")
    make_tokenizer().save_pretrained(tmp_path / "merged")
    held = HostWeights(load(base))
    spec = DirectionSpec(kind="to", target=str(tmp_path / "merged"))
    delta = prepare([spec], held)[spec]
    name = "model.layers.1.mlp.experts.down_proj"
    change_of = delta.rows(name, 0, 4)
    assert change_of is not None
    torch.testing.assert_close(
        change_of[2], torch.full((64, 128), 2 * 4 * 0.01, dtype=torch.float64), rtol=0, atol=1e-6
    )
    assert not change_of[[0, 1, 3]].any()


def test_half_an_adapter_names_what_it_lacks(tmp_path: Path, llama: Path, lora: Path) -> None:
    tensors = load_file(lora / "adapter_model.safetensors")
    layout = Layout.of(load(llama))
    half = rewritten(lora, {k: v for k, v in tensors.items() if ".layers.1." not in k}, tmp_path / "half")
    with pytest.raises(ModelError, match=r"adapter must be whole.*missing: model\.layers\.1\."):
        read_adapter(half, layout)
    first = next(k for k in tensors if "lora_A" in k)
    alone = rewritten(lora, {k: v for k, v in tensors.items() if k != first}, tmp_path / "alone")
    with pytest.raises(ModelError, match=r"plain LoRA on linear layers; got '.*lora_B\.weight'"):
        read_adapter(alone, layout)


@pytest.mark.parametrize(
    "changes",
    [
        {"alpha_pattern": [1]},
        {"rank_pattern": {"q_proj": 0}},
        {"alpha_pattern": {"(": 3}},
        {"rank_pattern": {"q_proj": "4"}},
        {"r": "4"},
        {"r": True},
        {"lora_alpha": float("inf")},
        {"lora_alpha": -1},
    ],
)
def test_odd_configurations_of_adapters_are_one_line(
    tmp_path: Path, llama: Path, lora: Path, changes: dict[str, object]
) -> None:
    adapter = change(rewritten(lora, load_file(lora / "adapter_model.safetensors"), tmp_path / "a"), **changes)
    with pytest.raises(ModelError, match=r"adapter_config\.json must be") as caught:
        read_adapter(adapter, Layout.of(load(llama)))
    assert "\n" not in str(caught.value)


def test_pairs_of_other_forms_are_one_line(tmp_path: Path, llama: Path, lora: Path) -> None:
    tensors = load_file(lora / "adapter_model.safetensors")
    key = next(k for k in tensors if "lora_A" in k)
    for i, odd in enumerate((tensors[key][0], tensors[key][:3].clone(), torch.ones(4, 64, dtype=torch.int64))):
        adapter = rewritten(lora, {**tensors, key: odd.clone()}, tmp_path / str(i))
        with pytest.raises(ModelError, match="pairs of A"):
            read_adapter(adapter, Layout.of(load(llama)))


@pytest.mark.parametrize("start", [True, False, None, "gaussian", "eva"])
def test_other_initializations_are_plain_lora(tmp_path: Path, llama: Path, lora: Path, start: object) -> None:
    tensors = load_file(lora / "adapter_model.safetensors")
    adapter = change(rewritten(lora, tensors, tmp_path / "a"), init_lora_weights=start)
    assert len(read_adapter(adapter, Layout.of(load(llama))).low_rank) == 4


def test_broken_adapters_are_one_line_of_help(tmp_path: Path, llama: Path, lora: Path) -> None:
    tensors = load_file(lora / "adapter_model.safetensors")
    key = next(k for k in tensors if "lora_B" in k)
    half = rewritten(lora, {k: v for k, v in tensors.items() if k != key}, tmp_path / "half")
    sick = rewritten(lora, {**tensors, key: tensors[key] * float("inf")}, tmp_path / "sick")
    bare = change(rewritten(lora, tensors, tmp_path / "bare"), r=None)
    layout = Layout.of(load(llama))
    for adapter, message in (
        (half, "adapter must be complete; got '.*lora_A.weight without its B'"),
        (sick, "adapter must be finite; got 'NaN or inf in .*lora_B.weight'"),
        (bare, "adapter_config.json must be complete .*; got nothing"),
    ):
        with pytest.raises(ModelError, match=message) as caught:
            read_adapter(adapter, layout)
        assert "\n" not in str(caught.value)
