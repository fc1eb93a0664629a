"""Weights that are not there, have no place, are empty or of another shape: refused by name, in every loader."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers.models import break_config, make_tiny_model
from safebasin.edits.dequantized import dequantize
from safebasin.engines.hf import HFEngine
from safebasin.errors import ModelError
from safebasin.models.loading import load_weights
from safebasin.models.reference import locate_adapter, resolve
from safebasin.models.whole import is_quantized, is_spare
from safebasin.protocols import BaseWeights
from safebasin.records import DirectionSpec
from safebasin.weights.adapters import load_merged
from safebasin.weights.base import HostWeights
from safebasin.weights.stream import prepare

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("m") / "llama")


@pytest.fixture(scope="module")
def base(llama: Path) -> BaseWeights:
    return HostWeights(load_weights(resolve(str(llama))))


def changed(folder: Path, out: Path, change: Callable[[Tensors], Tensors]) -> Path:
    """A copy of a checkpoint with other tensors in its file."""
    shutil.copytree(folder, out)
    tensors = change(load_file(folder / "model.safetensors"))
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    return out


LOADERS: dict[str, Callable[[Path, BaseWeights], object]] = {
    "map": lambda folder, base: HFEngine(str(folder), device="cpu"),
    "to": lambda folder, base: prepare([DirectionSpec(kind="to", target=str(folder))], base),
    "task": lambda folder, base: prepare([DirectionSpec(kind="task", target=f"{folder},{folder}")], base),
    "finetune, worst-case": lambda folder, base: load_merged(resolve(str(folder))),
}
FAULTS: dict[str, tuple[Callable[[Tensors], Tensors], str]] = {
    "no head": (lambda t: {k: v for k, v in t.items() if k != "lm_head.weight"}, r"missing: lm_head\.weight\)"),
    "no layer": (
        lambda t: {k: v for k, v in t.items() if ".layers.1." not in k},
        r"missing: model\.layers\.1\.input_layernorm\.weight, .*, … 9 in all\)",
    ),
    "another name": (
        lambda t: {k.replace("model.norm", "model.final"): v for k, v in t.items()},
        r"missing: model\.norm\.weight; unexpected: model\.final\.weight\)",
    ),
    "a layer too many": (
        lambda t: {**t, "model.layers.2.mlp.up_proj.weight": torch.zeros(3)},
        r"unexpected: model\.layers\.2\.mlp\.up_proj\.weight\)",
    ),
    "compiled": (lambda t: {f"_orig_mod.{k}": v for k, v in t.items()}, r"not those of torch\.compile; .* 21 in all\)"),
    "parallel": (lambda t: {f"module.{k}": v for k, v in t.items()}, r"not those of data-parallel training"),
    "unmerged": (
        lambda t: {k.replace("q_proj.", "q_proj.base_layer."): v for k, v in t.items()},
        r"an adapter that was not merged.*model\.layers\.0\.self_attn\.q_proj\.base_layer\.weight.*merge_and_unload",
    ),
    "empty": (
        lambda t: {k: torch.zeros(0) if ".mlp." in k else v for k, v in t.items()},
        r"no tensor of it empty; .*\(empty: model\.layers\.0\.mlp\.down_proj\.weight, .*, … 6 in all\)",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("loader", LOADERS)
def test_a_model_that_is_not_whole_is_loaded_by_nobody(
    llama: Path, base: BaseWeights, tmp_path: Path, loader: str, fault: str
) -> None:
    change, message = FAULTS[fault]
    folder = changed(llama, tmp_path / "broken", change)
    with pytest.raises(ModelError, match=message) as caught:
        LOADERS[loader](folder, base)
    assert "\n" not in str(caught.value)
    assert "broken" in str(caught.value)


def test_tensors_of_another_shape_are_named_with_both(llama: Path, tmp_path: Path) -> None:
    folder = changed(llama, tmp_path / "broken", lambda t: {**t, "model.norm.weight": torch.ones(63)})
    message = r"of another shape: model\.norm\.weight is \(63,\), not \(64,\)\)"
    with pytest.raises(ModelError, match=message):
        HFEngine(str(folder), device="cpu")
    with pytest.raises(ModelError, match=message):
        load_weights(resolve(str(folder)))


def test_what_an_index_names_must_be_in_its_shards(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "m", shards=3)
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    resolve(str(folder))
    dropped = index["weight_map"].pop("model.norm.weight")
    path.write_text(json.dumps(index))
    resolve(str(folder))  # it is in its shard nonetheless, and transformers reads shards whole
    index["weight_map"]["model.norm.bias"] = dropped
    path.write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"missing: model\.norm\.bias\)"):
        resolve(str(folder))


def test_half_of_an_index_is_half_a_model(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "m", shards=3)
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    shard = index["weight_map"]["lm_head.weight"]
    index["weight_map"] = {name: file for name, file in index["weight_map"].items() if file != shard}
    path.write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"missing: .*lm_head\.weight"):
        HFEngine(str(folder), device="cpu")
    for outside in ("../m.safetensors", "/dev/zero", "x" * 300, "a\0b"):
        index["weight_map"]["lm_head.weight"] = outside
        path.write_text(json.dumps(index))
        with pytest.raises(ModelError, match="model must be complete"):
            resolve(str(folder))


def test_a_tied_head_may_be_stored_once_or_twice(tmp_path: Path) -> None:
    tied = make_tiny_model(tmp_path / "tied", tied=True)
    assert "lm_head.weight" not in load_file(tied / "model.safetensors")
    HFEngine(str(tied), device="cpu")
    twice = changed(tied, tmp_path / "twice", lambda t: {**t, "lm_head.weight": t["model.embed_tokens.weight"].clone()})
    HFEngine(str(twice), device="cpu")
    head = changed(
        tied, tmp_path / "head", lambda t: {k.replace("model.embed_tokens", "lm_head"): v for k, v in t.items()}
    )
    HFEngine(str(head), device="cpu")
    neither = changed(
        tied, tmp_path / "neither", lambda t: {k: v for k, v in t.items() if k != "model.embed_tokens.weight"}
    )
    with pytest.raises(ModelError, match=r"missing: .*model\.embed_tokens\.weight"):
        HFEngine(str(neither), device="cpu")


def test_left_overs_that_say_nothing_are_no_matter(llama: Path, base: BaseWeights, tmp_path: Path) -> None:
    spare = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8), "v_head.summary.weight": torch.ones(1, 64)}
    folder = changed(llama, tmp_path / "m", lambda t: {**t, **spare})
    HFEngine(str(folder), device="cpu")
    prepare([DirectionSpec(kind="to", target=str(folder))], base)
    assert is_spare("h.0.attn.bias")
    assert is_spare("mtp.layers.0.norm.weight")
    assert not is_spare("model.layers.0.self_attn.q_proj.bias")
    assert not is_spare("model.layers.61.norm.weight")
    assert is_spare("model.layers.61.norm.weight", [r"model\.layers\.61.*"])


def test_an_empty_tensor_of_an_adapter_is_named(llama: Path, tmp_path: Path) -> None:
    from helpers.models import make_lora

    adapter = make_lora(tmp_path / "a", llama, targets=["q_proj"])
    tensors = load_file(adapter / "adapter_model.safetensors")
    first = min(tensors)
    save_file({**tensors, first: torch.zeros(0)}, adapter / "adapter_model.safetensors")
    with pytest.raises(ModelError, match=r"adapter must be whole: no tensor of it empty; .*\(empty: base_model"):
        locate_adapter(str(adapter))


# --- what a configuration promises ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("promise", "message"),
    [
        (
            {"num_hidden_layers": 10**6},
            r"num_hidden_layers of config\.json must be true of the files.*21 tensors.*1000000",
        ),
        ({"num_hidden_layers": 10**30}, "num_hidden_layers of config"),
        ({"text_config": {"n_layer": 5000}}, "n_layer of config"),
        ({"num_local_experts": 10**8}, "num_local_experts of config"),
    ],
)
def test_more_layers_than_tensors_are_refused_before_anything_is_built(
    llama: Path, tmp_path: Path, promise: dict[str, object], message: str
) -> None:
    folder = break_config(shutil.copytree(llama, tmp_path / "m"), **promise)
    with pytest.raises(ModelError, match=message):
        resolve(str(folder))


@pytest.mark.parametrize("promise", [{"hidden_size": 10**6}, {"vocab_size": 10**9}, {"intermediate_size": 10**12}])
def test_more_weights_than_the_files_hold_are_refused_without_memory(
    llama: Path, tmp_path: Path, promise: dict[str, int]
) -> None:
    folder = break_config(shutil.copytree(llama, tmp_path / "m"), **promise)
    with pytest.raises(ModelError, match=r"the model that config\.json promises \([\d,]+ parameters\)"):
        HFEngine(str(folder), device="cpu")


# --- quantization that is not there -----------------------------------------------------------------------------------


def test_a_quantization_config_beside_plain_weights_says_how_to_mend_it(llama: Path, tmp_path: Path) -> None:
    how = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    folder = break_config(shutil.copytree(llama, tmp_path / "m"), quantization_config=how)
    for use in (resolve, lambda model: dequantize(resolve(model), tmp_path / "out")):
        with pytest.raises(
            ModelError, match=r"config\.json says bitsandbytes, but the weights are plain.*Take quantiz"
        ):
            use(str(folder))
    config = json.loads((folder / "config.json").read_text())
    del config["quantization_config"]
    (folder / "config.json").write_text(json.dumps(config))
    HFEngine(str(folder), device="cpu")  # the remedy, followed


def test_packed_weights_are_told_by_type_or_by_what_lies_beside_them(tmp_path: Path) -> None:
    from safebasin.models.headers import read_header

    for name, tensors, wanted in (
        ("plain", {"a.weight": torch.zeros(2)}, False),
        ("bytes", {"a.weight": torch.zeros(2, dtype=torch.uint8)}, True),
        ("scale", {"a.weight": torch.zeros(2), "a.weight_scale": torch.ones(1)}, True),
    ):
        save_file(tensors, tmp_path / name)
        assert is_quantized(read_header(tmp_path / name)[1]) is wanted
