"""From what a user writes to a checkpoint: found, fingerprinted, or refused in one line."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from helpers.models import break_config, make_lora, make_tiny_model
from safebasin.errors import ModelError, UnknownName
from safebasin.models.folder import weight_files
from safebasin.models.reference import fingerprint, full_hash, resolve
from safebasin.records import DirectionSpec, ModelRef
from safebasin.weights.target_text import resolve_target


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("m") / "llama")


@pytest.fixture
def copy(llama: Path, tmp_path: Path) -> Path:
    return shutil.copytree(llama, tmp_path / "copy")


def test_folder_world_and_reference(llama: Path) -> None:
    assert resolve(str(llama)).folder == llama
    assert resolve(ModelRef(path=str(llama))).fingerprint == resolve(str(llama)).fingerprint
    assert resolve("world:guild/aligned").is_world
    assert not resolve(str(llama)).is_world


def test_checkpoints_that_differ_in_their_weights_only_are_two_models() -> None:
    aligned, base = resolve("world:guild/aligned"), resolve("world:guild/base")
    assert aligned.fingerprint != base.fingerprint, "same config, tokenizer, names and shapes"


@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_a_fingerprint_sees_a_change_at_either_end_and_in_the_middle_of_a_tensor(copy: Path, place: float) -> None:
    before, path = fingerprint(copy), copy / "model.safetensors"
    data = bytearray(path.read_bytes())
    header = 8 + int.from_bytes(data[:8], "little")
    spans = [v["data_offsets"] for k, v in json.loads(data[8:header]).items() if k != "__metadata__"]
    start, end = max(spans, key=lambda span: span[1] - span[0])
    data[header + start + int(place * (end - start - 1))] ^= 1
    path.write_bytes(bytes(data))
    assert fingerprint(copy) != before


def test_a_folder_with_an_at_sign_in_its_name_is_a_folder(llama: Path, tmp_path: Path) -> None:
    odd = shutil.copytree(llama, tmp_path / "odd@name+x")
    assert resolve(str(odd)).folder == odd


def test_fingerprint_follows_config_and_tokenizer(copy: Path, llama: Path) -> None:
    assert fingerprint(copy) == fingerprint(llama)
    (copy / "tokenizer_config.json").write_text("{}")
    assert fingerprint(copy) != fingerprint(llama)


def test_full_hash_reads_every_byte_and_notices_that_a_file_changed(copy: Path, llama: Path) -> None:
    assert full_hash(copy) == full_hash(llama)
    assert full_hash(copy) == hashlib.sha256((copy / "model.safetensors").read_bytes()).hexdigest()
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5000] ^= 1
    weights.write_bytes(bytes(data))
    assert full_hash(copy) != full_hash(llama)


def test_the_target_of_a_direction_is_known_by_every_byte(copy: Path, llama: Path, tmp_path: Path) -> None:
    spec = DirectionSpec(kind="to", target=str(copy))
    before = resolve_target(spec)
    assert before == resolve_target(spec) == resolve_target(DirectionSpec(kind="to", target=str(llama)))
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-10_001] ^= 1
    weights.write_bytes(bytes(data))
    assert resolve_target(spec) != before
    adapter = make_lora(tmp_path / "a", llama, seed=1)
    with_adapter = DirectionSpec(kind="to", target=f"{llama}+{adapter}")
    first = resolve_target(with_adapter)
    assert first != before
    alone = resolve_target(DirectionSpec(kind="adapter", target=str(adapter)))
    make_lora(adapter, llama, seed=2)
    assert resolve_target(with_adapter) != first
    assert resolve_target(DirectionSpec(kind="adapter", target=str(adapter))) != alone


def test_an_adapter_says_which_model_it_was_trained_on(llama: Path, copy: Path, tmp_path: Path) -> None:
    adapter = make_lora(tmp_path / "a", llama)
    assert resolve(f"{llama}+{adapter}").notes == ()
    assert resolve(f"{copy}+{adapter}").notes == (f"adapter {adapter} says it was trained on {llama}, not on {copy}",)


def test_an_adapter_is_part_of_the_fingerprint(llama: Path, tmp_path: Path) -> None:
    adapter = make_lora(tmp_path / "a", llama)
    assert resolve(f"{llama}+{adapter}").fingerprint != resolve(str(llama)).fingerprint


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def garbage(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0not json at all!")


def pickle_only(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def no_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()


def not_causal(folder: Path) -> None:
    break_config(folder, architectures=["BertForSequenceClassification"], model_type="bert")


def broken_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def missing_shard(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"x": "model-00002-of-00002.safetensors"}}')


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (empty, r"a folder with a checkpoint; got .*The folder is empty\."),
        (truncate, r"model\.safetensors must be whole \(\d+ bytes\); got '\d+ bytes'\. Download the file again\."),
        (garbage, r"model\.safetensors must be a"),
        (pickle_only, r"saved as safetensors \(pickles are not loaded\); got .*pytorch_model\.bin"),
        (no_tokenizer, r"accompanied by its tokenizer"),
        (not_causal, r"a causal language model; got .*BertForSequenceClassification"),
        (broken_config, r"config\.json must be readable JSON"),
        (missing_shard, r"model must be complete .*without model-00002-of-00002"),
        (shutil.rmtree, r"model must be an existing folder or GGUF file \(nothing there\)"),
    ],
)
def test_a_broken_folder_is_one_line_of_help(copy: Path, damage, message: str) -> None:
    damage(copy)
    with pytest.raises(ModelError, match=message) as caught:
        resolve(str(copy))
    assert "\n" not in str(caught.value)


def test_a_name_that_is_not_in_the_offline_cache_says_how_to_get_it() -> None:
    with pytest.raises(ModelError, match=r"in the local cache; got 'nobody/nothing'\. Download it first \(hf download"):
        resolve("nobody/nothing")


def test_worlds_and_checkpoints_did_you_mean() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'guild'"):
        resolve("world:gild/aligned")
    with pytest.raises(ModelError, match="Did you mean 'aligned'"):
        resolve("world:guild/alined")


def test_an_adapter_alone_is_no_model_and_a_model_no_adapter(llama: Path, tmp_path: Path) -> None:
    adapter = make_lora(tmp_path / "a", llama)
    with pytest.raises(ModelError, match=r"a full checkpoint \(this is an adapter\).*Write it as BASE\+"):
        resolve(str(adapter))
    with pytest.raises(ModelError, match=r"adapter must be a folder with adapter_config\.json"):
        resolve(f"{llama}+{llama}")
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"saved as adapter_model\.safetensors"):
        resolve(f"{llama}+{adapter}")


def test_folders_and_worlds_have_no_revisions(llama: Path) -> None:
    for reference in (f"{llama}@main", "world:guild/aligned@main"):
        with pytest.raises(ModelError, match="revision must be left out for a folder or a world"):
            resolve(reference)


def test_a_file_is_no_folder(llama: Path) -> None:
    with pytest.raises(ModelError, match=r"an existing folder or GGUF file \(a file\)"):
        resolve(str(llama / "config.json"))


def test_weight_files_are_those_that_transformers_loads(tmp_path: Path) -> None:
    for name in ("consolidated.safetensors", "a-1.safetensors", "a-2.safetensors", "adapter_model.safetensors"):
        (tmp_path / name).touch()
    assert [p.name for p in weight_files(tmp_path)] == [
        "a-1.safetensors",
        "a-2.safetensors",
        "consolidated.safetensors",
    ]
    index = {"weight_map": {"x": "a-2.safetensors", "y": "a-1.safetensors", "z": "a-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert [p.name for p in weight_files(tmp_path)] == ["a-1.safetensors", "a-2.safetensors"]
    (tmp_path / "model.safetensors").touch()
    assert [p.name for p in weight_files(tmp_path)] == ["model.safetensors"]


def hub_error(kind: str) -> Exception:
    """Without the response that its constructor asks for."""
    from huggingface_hub import errors

    found: type[Exception] = getattr(errors, kind)
    return found.__new__(found)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("GatedRepoError", r"a repository you have access to; got 'org/name'\. Accept its licence .* set HF_TOKEN"),
        ("RepositoryNotFoundError", r"an existing hub repository; got 'org/name'\. Check the name"),
        ("RevisionNotFoundError", r"revision must be one that org/name has; got 'v9'\. Check the branch"),
        ("HFValidationError", r"an existing hub repository; got 'org/name'"),
        ("HfHubHTTPError", r"in the local cache; got 'org/name@v9'\. Download it first .*--revision v9"),
    ],
)
def test_what_the_hub_refuses_is_one_line(monkeypatch: pytest.MonkeyPatch, kind: str, message: str) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise hub_error(kind)

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(ModelError, match=message) as caught:
        resolve("org/name@v9")
    assert "\n" not in str(caught.value)


def test_a_hub_model_comes_from_the_cache_with_its_commit(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple] = []
    snapshot = shutil.copytree(llama, tmp_path / "snapshots" / "0123abcd")
    adapter = make_lora(tmp_path / "lora", llama)

    def download(repository: str, *, revision: str | None, local_files_only: bool, **_: object) -> str:
        asked.append((repository, revision, local_files_only))
        return str(adapter if repository == "org/lora" else snapshot)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = resolve("org/name@v1+org/lora@v2")
    assert (found.folder, found.commit, found.adapter) == (snapshot, "0123abcd", adapter)
    assert asked == [("org/name", "v1", True), ("org/lora", "v2", True)]


def test_a_real_cache_is_read_offline(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--org--name"
    shutil.copytree(llama, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    found = resolve("org/name")
    assert found.commit == commit
    assert found.fingerprint == fingerprint(llama)
    with pytest.raises(ModelError, match=r"in the local cache; got 'org/name@other'"):
        resolve("org/name@other")
