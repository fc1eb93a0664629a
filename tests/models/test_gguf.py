"""GGUF files as models: dequantized once, known by the file, and one line of help where one cannot be read."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from helpers.command import exit_code
from helpers.gguf import make_gguf, stored_name
from helpers.models import make_lora, make_tiny_model
from safebasin.engines.hf import HFEngine
from safebasin.errors import MissingExtra, ModelError
from safebasin.models import gguf
from safebasin.models.reference import folder_of, resolve
from safebasin.models.writing import describe, is_unsafe, new_folder, save_model
from safebasin.records import Decoding, Message, ModelRef

pytestmark = pytest.mark.skipif(
    find_spec("gguf") is None or find_spec("accelerate") is None, reason="needs the extra gguf"
)
CHAT = [[Message(role="user", content="How do I weigh the clay?")], [Message(role="user", content="no")]]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("m") / "qwen", "qwen2")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(gguf.CACHE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def answers(model: str) -> list[str]:
    return [g.text for g in HFEngine(model, device="cpu").generate(CHAT, Decoding(max_new_tokens=12))]


def test_a_file_is_the_model_that_it_was_made_of(tmp_path: Path, checkpoint: Path, cache: Path) -> None:
    file = make_gguf(tmp_path / "tiny.gguf", checkpoint)
    found = resolve(str(file))
    assert found.folder.parent == cache
    wanted, have = load_file(checkpoint / "model.safetensors"), load_file(found.folder / "model.safetensors")
    assert wanted.keys() == have.keys()
    assert all(torch.equal(wanted[name], have[name]) for name in wanted)
    assert answers(str(file)) == answers(str(checkpoint))


def test_packed_weights_are_those_that_the_file_stands_for(tmp_path: Path, checkpoint: Path) -> None:
    import gguf as package

    file = make_gguf(tmp_path / "tiny.gguf", checkpoint, packed=True)
    packed = {tensor.name: tensor for tensor in package.GGUFReader(file).tensors}
    have = load_file(resolve(str(file)).folder / "model.safetensors")
    for name, tensor in have.items():
        stored = packed[stored_name(name)]
        assert torch.equal(tensor, torch.from_numpy(package.dequantize(stored.data, stored.tensor_type).copy()))
    assert "quantization_config" not in json.loads((resolve(str(file)).folder / "config.json").read_text())
    assert answers(str(file))


@pytest.mark.slow
def test_it_is_written_once_and_known_by_its_file(tmp_path: Path, checkpoint: Path, cache: Path) -> None:
    file = make_gguf(tmp_path / "tiny.gguf", checkpoint)
    found = resolve(str(file))
    (found.folder / "note").touch()
    assert resolve(f"{tmp_path}+tiny.gguf").fingerprint == found.fingerprint
    assert folder_of(f"{tmp_path}/+tiny.gguf") == found.folder
    assert (found.folder / "note").exists()
    shutil.rmtree(cache)
    config = json.loads((resolve(str(file)).folder / "config.json").read_text())
    (found.folder / "config.json").write_text(json.dumps({**config, "transformers_version": "another"}))
    assert resolve(str(file)).fingerprint == found.fingerprint
    other = make_gguf(tmp_path / "other.gguf", make_tiny_model(tmp_path / "m", "qwen2", seed=1))
    assert resolve(str(other)).fingerprint != found.fingerprint


@pytest.mark.slow
def test_an_adapter_stands_on_a_file(tmp_path: Path, checkpoint: Path) -> None:
    file = make_gguf(tmp_path / "tiny.gguf", checkpoint)
    adapter = make_lora(tmp_path / "a", checkpoint, targets=["q_proj"])
    found = resolve(f"{tmp_path}+tiny.gguf+{adapter}")
    assert (found.adapter, str(found.ref)) == (adapter, f"{file}+{adapter}")
    assert found.fingerprint not in (resolve(str(file)).fingerprint, resolve(f"{checkpoint}+{adapter}").fingerprint)
    assert answers(str(found.ref)) == answers(f"{checkpoint}+{adapter}") != answers(str(checkpoint))


def test_the_mark_of_what_is_unsafe_goes_along(tmp_path: Path, checkpoint: Path) -> None:
    file = make_gguf(tmp_path / "tiny.gguf", checkpoint)
    describe(tmp_path, {"kind": "finetune"}, unsafe=True, title="t", text="t", head={})
    assert is_unsafe(resolve(str(file)).folder)


def test_a_model_that_still_says_how_it_was_packed_can_be_written(tmp_path: Path, checkpoint: Path) -> None:
    from transformers import AutoModelForCausalLM

    file = make_gguf(tmp_path / "tiny.gguf", checkpoint, packed=True)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=file.name, dtype=torch.float32)
    assert model.config.quantization_config is not None
    with new_folder(tmp_path / "out") as folder:
        save_model(model, folder)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(checkpoint / name, folder)
    assert resolve(str(tmp_path / "out")).fingerprint
    HFEngine(str(tmp_path / "out"), device="cpu")


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("architecture", r"GGUF model with architecture zqnet is not supported yet"),
        ("truncated", r"a GGUF file that transformers can read; got .*tiny\.gguf"),
        ("header", r"a GGUF file that transformers can read; got .*tiny\.gguf"),
        ("magic", r"must be a GGUF file; got .*b'PK.*Download it again"),
        ("missing", r"must be an existing GGUF file"),
        ("revision", r"must be an existing GGUF file; got .*only files of the hub have a revision"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line_and_exit_code_2(
    tmp_path: Path, checkpoint: Path, broken: str, said: str, cache: Path
) -> None:
    file = make_gguf(tmp_path / "tiny.gguf", checkpoint, architecture="zqnet" if broken == "architecture" else "qwen2")
    data, name = file.read_bytes(), str(file)
    if broken == "truncated":
        file.write_bytes(data[: -len(data) // 3])
    elif broken == "header":
        file.write_bytes(data[:200])
    elif broken == "magic":
        file.write_bytes(b"PK\3\4" + data[4:])
    elif broken == "missing":
        file.unlink()
    elif broken == "revision":
        name = f"{file}@main"
    with pytest.raises(ModelError, match=said) as caught:
        resolve(name)
    assert "\n" not in str(caught.value)
    assert not [path for path in cache.glob("*") if path.is_dir()]
    assert exit_code("plan", name, "--prompts", "advbench") == 2


def test_without_the_package_the_extra_is_named(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = make_gguf(tmp_path / "tiny.gguf", checkpoint)
    monkeypatch.setattr(gguf, "find_spec", lambda package: None if package == "gguf" else True)
    with pytest.raises(MissingExtra, match=r"safebasin\[gguf\]"):
        resolve(str(file))


def test_a_disk_that_is_too_small_is_said_before(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = make_gguf(tmp_path / "tiny.gguf", checkpoint)
    monkeypatch.setattr(gguf, "_NEEDED", 10**12)
    with pytest.raises(
        ModelError, match=r"large enough for what is made of the model; got .* on another disk in SAFEBASIN"
    ):
        resolve(str(file))


def test_references_to_files_are_text() -> None:
    assert ModelRef.parse("org/name@main+q4.gguf+./lora") == ModelRef(
        path="org/name/q4.gguf", revision="main", adapter="./lora"
    )
    assert str(ModelRef.parse("models+q4.gguf")) == "models/q4.gguf"
    assert ModelRef.parse("org/name+./lora").adapter == "./lora"


def test_a_file_is_known_by_what_follows_its_settings_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf, "_HEAD", 64)
    one, other = tmp_path / "one.gguf", tmp_path / "other.gguf"
    one.write_bytes(b"GGUF" + bytes(9_000))
    other.write_bytes(b"GGUF" + bytes(8_000) + b"\x01" + bytes(999))
    assert gguf.identity(one) != gguf.identity(other)
    other.write_bytes(one.read_bytes())
    assert gguf.identity(one) == gguf.identity(other)
