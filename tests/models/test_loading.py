"""A checkpoint as transformers loads it: what is no causal language model of text, and what a message says then."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from helpers.models import break_config, make_lora, make_tiny_model
from safebasin.engines.hf import HFEngine
from safebasin.errors import ModelError
from safebasin.models.loading import load_config, load_tokenizer, load_weights
from safebasin.models.reference import resolve
from safebasin.weights.layout import load_layout


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("m") / "llama")


@pytest.fixture
def copy(llama: Path, tmp_path: Path) -> Path:
    return shutil.copytree(llama, tmp_path / "copy")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "no-such-model"}, "a folder that transformers can read"),
        ({"model_type": 5}, "a folder that transformers can read|a causal language model"),
        ({"model_type": "bert", "architectures": None}, "a causal language model|can load|whole"),
        ({"model_type": "t5", "architectures": None}, "not an encoder-decoder; got 't5'"),
        ({"model_type": "vit", "architectures": None}, r"that transformers knows; got .*\(model_type 'vit'\)"),
        ({"hidden_size": "wide"}, "a folder that transformers can read"),
        ({"num_attention_heads": 0}, "can build|can read"),
        ({"vocab_size": -1}, "can build|can read"),
        ({"rope_scaling": {"rope_type": "no-such-rope", "factor": 2.0}}, "can build|can read"),
        ({"hidden_act": "no-such-function"}, "can build"),
        ({"transformers_weights": "../other.safetensors"}, r"transformers_weights of config\.json must be left out"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_one_line(copy: Path, changes: dict[str, object], message: str) -> None:
    break_config(copy, **changes)
    with pytest.raises(ModelError, match=message) as caught:
        HFEngine(str(copy), device="cpu")
    assert "\n" not in str(caught.value)


def test_code_that_comes_with_a_model_neither_runs_nor_asks(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_config(copy, model_type="own", auto_map={"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Model"})
    (copy / "own.py").write_text("raise SystemExit('it ran')")
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("it asked"))
    for use in (load_weights, load_layout):
        with pytest.raises(ModelError):
            use(resolve(str(copy)))
    with pytest.raises(ModelError):
        load_config(copy)
    with pytest.raises(ModelError):
        HFEngine(str(copy), device="cpu")


@pytest.mark.parametrize(
    "text", ["{", "{}", "[1, 2]", '{"model": {"type": "BPE", "vocab": [], "merges": 3}}', "[" * 100_000]
)
def test_a_tokenizer_that_cannot_be_read_is_one_line(copy: Path, text: str) -> None:
    (copy / "tokenizer.json").write_text(text)
    with pytest.raises(ModelError, match=r"accompanied by its tokenizer|readable JSON|JSON object") as caught:
        load_tokenizer(copy)
    assert "\n" not in str(caught.value)


def test_a_padding_token_beyond_the_embedding_is_taken_out_of_the_configuration(copy: Path) -> None:
    assert load_config(copy).pad_token_id == 0
    assert load_config(break_config(copy, pad_token_id=512)).pad_token_id is None
    assert load_config(break_config(copy, pad_token_id=511)).pad_token_id == 511


def test_tables_as_long_as_no_text_are_refused_without_memory(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "m", "gpt_neox")
    HFEngine(str(folder), device="cpu")
    made = make_tiny_model(tmp_path / "g", "gpt2")
    break_config(made, n_positions=10**9, n_ctx=10**9)
    with pytest.raises(ModelError, match=r"config\.json"):
        HFEngine(str(made), device="cpu")


def test_a_checkpoint_and_an_adapter_in_one_folder_are_two_things(copy: Path, llama: Path, tmp_path: Path) -> None:
    adapter = make_lora(tmp_path / "a", llama, targets=["q_proj"])
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(adapter / file, copy)
    with pytest.raises(ModelError, match=r"either a full checkpoint or an adapter.*into a folder of their own"):
        resolve(str(copy))
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"this is an adapter beside a config\.json.*Write it as BASE\+"):
        resolve(str(copy))
    assert resolve(f"{llama}+{copy}").adapter == copy


def test_an_index_that_is_no_index(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "model-1.safetensors")
    for index in ({}, {"weight_map": []}, {"weight_map": {"x": 5}}, {"weight_map": {"x": {}}}):
        (copy / "model.safetensors.index.json").write_text(json.dumps(index))
        with pytest.raises(ModelError, match="model must be complete"):
            resolve(str(copy))
