"""Directions that come from other files: there bit for bit, refused by the first difference."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCausalLM

from helpers.fields import Line, Toy
from helpers.models import make_lora, make_tiny_model
from safebasin.errors import ModelError, StudyError
from safebasin.records import DirectionSpec, Point
from safebasin.weights.adapters import merge_adapter
from safebasin.weights.base import HostWeights, MappedWeights, open_base
from safebasin.weights.stream import digest, prepare, weights_at


def load(folder: Path, **given: object) -> nn.Module:
    return AutoModelForCausalLM.from_pretrained(folder, **given)


def to(target: object, **given: object) -> DirectionSpec:
    return DirectionSpec(kind="to", target=str(target), **given)


def at(base: HostWeights | MappedWeights, *terms: tuple[DirectionSpec, float]) -> str:
    point = Point.at(*terms)
    return digest(weights_at(base, point, prepare([s for s, _ in point.terms], base)))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("m") / "llama")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_alpha_0_is_the_model_and_alpha_1_the_other_bit_for_bit(tmp_path: Path, dtype: str) -> None:
    one = make_tiny_model(tmp_path / "one", dtype=dtype, seed=1)
    other = make_tiny_model(tmp_path / "other", dtype=dtype, seed=2)
    base, target = HostWeights(load(one)), HostWeights(load(other))
    assert at(base, (to(other), 0.0)) == at(base)
    assert at(base, (to(other), 1.0)) == at(target)
    assert at(base, (to(other), 0.5)) not in (at(base), at(target))


def test_alpha_1_is_exact_where_a_difference_would_lose_digits() -> None:
    base = Toy({"x": torch.tensor([1e30, 1.0])})
    target = Line({"x": torch.tensor([1e-30, 3.0])}, base)
    (block,) = weights_at(base, Point.at((to("x"), 1.0)), {to("x"): target})
    assert torch.equal(block.values, torch.tensor([1e-30, 3.0]))


@pytest.mark.parametrize("arch", ["gpt_neox", "mixtral", "gpt2"])
def test_checkpoints_whose_files_are_not_the_module_are_reached_too(tmp_path: Path, arch: str) -> None:
    one, other = (make_tiny_model(tmp_path / str(n), arch, seed=n) for n in (1, 2))
    base = open_base(load(one), one, low_memory=True)
    assert at(base, (to(other), 1.0)) == at(HostWeights(load(other))) != at(base)


def test_a_checkpoint_of_another_dtype_is_reached_as_it_would_load(tmp_path: Path) -> None:
    one = make_tiny_model(tmp_path / "one", dtype="bfloat16", seed=1)
    other = make_tiny_model(tmp_path / "other", seed=2)
    base = HostWeights(load(one))
    assert at(base, (to(other), 1.0)) == at(HostWeights(load(other, dtype=torch.bfloat16)))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_target_may_have_an_adapter(tmp_path: Path, dtype: str) -> None:
    one, other = (make_tiny_model(tmp_path / str(n), dtype=dtype, seed=n) for n in (1, 2))
    adapter = make_lora(tmp_path / "a", other, targets=["q_proj", "v_proj"], modules_to_save=["lm_head"])
    merged = load(other)
    merge_adapter(merged, adapter)
    base = HostWeights(load(one))
    assert at(base, (to(f"{other}+{adapter}"), 1.0)) == at(HostWeights(merged)) != at(base, (to(other), 1.0))


def test_half_way_is_the_mean(tmp_path: Path, llama: Path) -> None:
    other = make_tiny_model(tmp_path / "other", seed=5)
    base, theirs = HostWeights(load(llama)), dict(load(other).named_parameters())
    for block in weights_at(base, Point.at((to(other), 0.5)), prepare([to(other)], base)):
        mean = (base.rows(block.name, 0, block.stop).double() + theirs[block.name].detach().double()) / 2
        assert torch.equal(block.values, mean.float())


def test_norm_layers_move_on_the_way_to_a_checkpoint(tmp_path: Path, llama: Path) -> None:
    other = shutil.copytree(llama, tmp_path / "other")
    tensors = load_file(other / "model.safetensors")
    tensors["model.norm.weight"] += 1
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    base = HostWeights(load(llama))
    delta = prepare([to(other)], base)[to(other)]
    assert torch.equal(delta.rows("model.norm.weight", 0, 64), torch.ones(64, dtype=torch.float64))


def test_only_moves_what_matches_and_has_to_match_something(tmp_path: Path, llama: Path) -> None:
    other = make_tiny_model(tmp_path / "other", seed=5)
    base = HostWeights(load(llama))
    spec = to(other, only="layers.1.*")
    theirs = dict(load(other).named_parameters())
    for block in weights_at(base, Point.at((spec, 1.0)), prepare([spec], base)):
        wanted = theirs[block.name] if ".layers.1." in block.name else base.rows(block.name, 0, block.stop)
        assert torch.equal(block.values, wanted), block.name
    with pytest.raises(StudyError, match="only must be a pattern"):
        prepare([to(other, only="layers.7.*")], base)


# --- what does not fit -----------------------------------------------------------------------------------------------


def test_a_checkpoint_of_other_names_or_shapes_names_the_first_difference(tmp_path: Path, llama: Path) -> None:
    base = HostWeights(load(llama))
    other = make_tiny_model(tmp_path / "g", "gpt2")
    with pytest.raises(ModelError, match=r"must be one that holds model\.embed_tokens\.weight; got 'no such tensor'"):
        prepare([to(other)], base)
    wide = make_tiny_model(tmp_path / "w", hidden_size=128)
    message = r"of the same shapes \(model\.embed_tokens\.weight is \(512, 64\)\); got \(512, 128\)"
    with pytest.raises(ModelError, match=message):
        prepare([to(wide)], base)
    qwen = make_tiny_model(tmp_path / "q", "qwen2")
    with pytest.raises(ModelError, match=r"own tensors only; got 'model\.layers\.0\.self_attn\.q_proj\.bias'"):
        prepare([to(qwen)], base)


def test_another_tokenizer_names_the_first_token(tmp_path: Path, llama: Path) -> None:
    other = shutil.copytree(llama, tmp_path / "other")
    text = (other / "tokenizer.json").read_text(encoding="utf-8")
    (other / "tokenizer.json").write_text(text.replace("<|user|>", "<|guest|>"), encoding="utf-8")
    base = open_base(load(llama), llama, low_memory=False)
    with pytest.raises(ModelError, match=r"the model's own tokenizer; got \"token '<\|user\|>' of id 4 does not exist"):
        prepare([to(other)], base)


def test_a_tied_model_does_not_lead_to_an_untied_one_nor_back(tmp_path: Path) -> None:
    tied, untied = make_tiny_model(tmp_path / "t", tied=True), make_tiny_model(tmp_path / "u", tied=False)
    with pytest.raises(ModelError, match=r"tied as the model is \(lm_head\.weight = model\.embed_tokens\.weight\)"):
        prepare([to(untied)], HostWeights(load(tied)))
    with pytest.raises(ModelError, match=r"one that holds lm_head\.weight"):
        prepare([to(tied)], HostWeights(load(untied)))


def test_a_target_with_nan_is_refused_by_name(tmp_path: Path, llama: Path) -> None:
    other = shutil.copytree(llama, tmp_path / "other")
    tensors = load_file(other / "model.safetensors")
    tensors["lm_head.weight"][3, 3] = float("nan")
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"weights of .*other must be finite; got 'NaN or inf in lm_head\.weight'"):
        prepare([to(other)], HostWeights(load(llama)))


def test_an_adapter_made_for_another_model_names_the_first_tensor(tmp_path: Path, llama: Path) -> None:
    wide = make_lora(tmp_path / "a", make_tiny_model(tmp_path / "w", hidden_size=128))
    spec = DirectionSpec(kind="adapter", target=str(wide))
    message = r"adapter must be made for this model; got 'a', trained on '.*w': model\.layers\.0\..* of shape .* meets"
    with pytest.raises(ModelError, match=message):
        prepare([spec], HostWeights(load(llama)))


def test_another_vocabulary_names_the_first_token_or_the_embedding(tmp_path: Path, llama: Path) -> None:
    grown = make_tiny_model(tmp_path / "grown", vocab_size=600)
    with pytest.raises(ModelError, match=r"model\.embed_tokens\.weight is \(512, 64\)\); got \(600, 64\)"):
        prepare([to(grown)], open_base(load(llama), llama))
    text = json.loads((grown / "tokenizer.json").read_text())
    text["added_tokens"].append({**text["added_tokens"][-1], "id": 599, "content": "<|new|>"})
    (grown / "tokenizer.json").write_text(json.dumps(text))
    with pytest.raises(ModelError, match=r"own tokenizer; got \"additional token '<\|new\|>' of id 599\""):
        prepare([to(grown)], open_base(load(llama), llama))


# --- task vectors ----------------------------------------------------------------------------------------------------


def task(tuned: object, base: object, **given: object) -> DirectionSpec:
    return DirectionSpec(kind="task", target=f"{tuned},{base}", **given)


def test_a_task_vector_is_the_difference_of_two_others(tmp_path: Path, llama: Path) -> None:
    tuned, origin = (make_tiny_model(tmp_path / str(n), seed=n) for n in (5, 6))
    base, spec = HostWeights(load(llama)), task(tuned, origin)
    theirs, before = (dict(load(f).named_parameters()) for f in (tuned, origin))
    delta = prepare([spec], base)[spec]
    for name in base.names:
        wanted = theirs[name].detach().double() - before[name].detach().double()
        assert torch.equal(delta.rows(name, 0, base.shape(name)[0]), wanted)
    for block in weights_at(base, Point.at((spec, -1.0)), {spec: delta}):
        rows = slice(block.start, block.stop)
        change = theirs[block.name][rows].detach().double() - before[block.name][rows].detach().double()
        assert torch.equal(block.values, (base.rows(block.name, block.start, block.stop).double() - change).float())


def test_a_task_vector_moves_what_only_says_and_may_have_an_adapter(tmp_path: Path, llama: Path) -> None:
    adapter = make_lora(tmp_path / "a", llama, targets=["q_proj"])
    base, spec = HostWeights(load(llama)), task(f"{llama}+{adapter}", llama, only="layers.1.*")
    delta = prepare([spec], base)[spec]
    moved = {n for n in base.names if (rows := delta.rows(n, 0, base.shape(n)[0])) is not None and bool(rows.any())}
    assert moved == {"model.layers.1.self_attn.q_proj.weight"}
    assert delta.rows("model.norm.weight", 0, 64) is None


@pytest.mark.parametrize("position", [0, 1])
def test_a_task_vector_names_the_model_that_does_not_fit(tmp_path: Path, llama: Path, position: int) -> None:
    models = [llama, llama]
    models[position] = make_tiny_model(tmp_path / "wide", hidden_size=128)
    with pytest.raises(ModelError, match=r"checkpoint '.*wide' must be of the same shapes \(model\.embed_tokens"):
        prepare([task(*models)], HostWeights(load(llama)))
    with pytest.raises(StudyError, match="target of task must be two models"):
        prepare([DirectionSpec(kind="task", target=str(llama))], HostWeights(load(llama)))
