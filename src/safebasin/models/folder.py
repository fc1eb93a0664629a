"""A checkpoint folder without torch: is it whole, which files hold the weights, and which checkpoint is it exactly.

Not where the folder comes from (`checkpoint`), nor what its tensors are once loaded (`base`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from safebasin.errors import ModelError, UnseenModel, expected
from safebasin.models.files import check_entries, read_bytes, read_json
from safebasin.models.headers import Stored, read_header, read_headers
from safebasin.models.whole import check_headers, check_promises, is_quantized, quantization, unwhole

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model", "vocab.txt")
_IDENTITY_FILES = ("config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json",
                   "merges.txt", "chat_template.jinja", "special_tokens_map.json", "adapter_config.json")  # fmt: skip
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_SAMPLE = 4096
"""Bytes read at the start, in the middle and at the end of every tensor for a fingerprint."""


def check_folder(folder: Path, name: str, *, needs_tokenizer: bool = True) -> None:
    """Check a checkpoint folder as far as that goes without torch.

    Args:
        folder: where it is.
        name: the model as the user wrote it, for messages.
        needs_tokenizer: whether it is incomplete without one.

    Raises:
        ModelError: naming what is missing, broken, or not what it says.
    """
    check_entries(folder, name)
    if not any(folder.iterdir()):
        raise ModelError(expected("model", "a folder with a checkpoint", name, "The folder is empty."))
    has_adapter = (folder / "adapter_config.json").is_file()
    if has_adapter and not (folder / "config.json").is_file():
        remedy = f"Write it as BASE+{name}."
        raise ModelError(expected("model", "a full checkpoint (this is an adapter)", name, remedy))
    config = read_json(folder / "config.json", name)
    _check_architecture(config, name)
    files = weight_files(folder, name)
    if has_adapter:
        raise ModelError(_two_in_one(name, has_weights=bool(files)))
    if not files:
        pickles = [p.name for pattern in _PICKLES for p in folder.glob(pattern)]
        if not pickles:
            remedy = "Its folder holds no weights: copy them there."
            raise UnseenModel(expected("model", "saved as safetensors", name, remedy))
        remedy = "Convert it: load it once where you trust it and save_pretrained(safe_serialization=True)."
        found = f"{name} ({pickles[0]})"
        raise ModelError(expected("model", "saved as safetensors (pickles are not loaded)", found, remedy))
    tensors = read_headers(files)
    check_headers(tensors, name)
    _check_index(folder, tensors, name)
    check_promises(config, tensors, name)
    _check_quantization(config, tensors, name)
    if needs_tokenizer and not any((folder / file).is_file() for file in _TOKENIZER_FILES):
        remedy = "Copy the tokenizer files into the folder."
        raise ModelError(expected("model", "accompanied by its tokenizer", name, remedy))


def _check_architecture(config: dict[str, object], name: str) -> None:
    architectures = config.get("architectures")
    named = [str(a) for a in architectures] if isinstance(architectures, list) else []
    if named and not any(_generates(a) for a in named):
        remedy = "Take a checkpoint whose architecture ends in ForCausalLM."
        raise ModelError(expected("model", "a causal language model", f"{name} ({', '.join(named)})", remedy))
    if config.get("transformers_weights") is not None:
        remedy = "Rename that file to model.safetensors and take the key out of config.json."
        raise ModelError(expected("transformers_weights of config.json", "left out", name, remedy))


def _generates(architecture: str) -> bool:
    return architecture.endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "LMHead"))


def _two_in_one(name: str, *, has_weights: bool) -> str:
    """Of a folder with both configurations: whether its adapter counts depends on which packages are installed."""
    if not has_weights:
        remedy = f"Write it as BASE+{name}."
        return expected("model", "a full checkpoint (this is an adapter beside a config.json)", name, remedy)
    remedy = f"Move adapter_config.json and its weights into a folder of their own; {name}+THAT FOLDER applies them."
    return expected("model", "either a full checkpoint or an adapter", f"{name} (both in one folder)", remedy)


def _check_index(folder: Path, tensors: Mapping[str, Stored], name: str) -> None:
    """Every tensor that an index of shards names has to be in its shard."""
    index = folder / _INDEX
    if (folder / _SINGLE).is_file() or not index.is_file():
        return
    listed = read_json(index, name).get("weight_map")
    missing = [str(key) for key in listed if key not in tensors] if isinstance(listed, dict) else []
    if missing:
        raise ModelError(unwhole("model", name, missing))


def _check_quantization(config: dict[str, object], tensors: Mapping[str, Stored], name: str) -> None:
    """A `quantization_config` beside plain weights: what would be mapped depends on which packages are installed."""
    method = quantization(config)
    if method and not is_quantized(tensors):
        constraint = f"either quantized or not: config.json says {method}, but the weights are plain"
        remedy = (
            "Take quantization_config out of config.json to use the weights as they are; or load the model once under "
            "it, and save that: a quantized copy is what it would be served as."
        )
        raise ModelError(expected("model", constraint, name, remedy))


def weight_files(folder: Path, name: str = "") -> tuple[Path, ...]:
    """The safetensors files that transformers would load from a folder: the single one, else those of the index.

    Where there is neither, every safetensors file but those of an adapter; a second copy of the weights under another
    name (`consolidated.safetensors`) is thus left out where there is a choice.

    Raises:
        ModelError: where a shard that the index names is missing.
    """
    single, index = folder / _SINGLE, folder / _INDEX
    if index.is_file() and not single.is_file():
        weight_map = read_json(index, name or folder.name).get("weight_map")
        wanted = sorted({str(v) for v in weight_map.values()}) if isinstance(weight_map, dict) else []
        missing = [shard for shard in wanted if not _is_shard(folder, shard)]
        if missing or not wanted:
            found = f"{name or folder.name} without {missing[0] if missing else 'shards in its index'}"
            raise ModelError(
                expected("model", f"complete ({len(wanted)} shards)", found, "Download the missing files.")
            )
        return tuple(folder / shard for shard in wanted)
    if single.is_file():
        return (single,)
    return tuple(p for p in sorted(folder.glob("*.safetensors")) if p.name != "adapter_model.safetensors")


def _is_shard(folder: Path, shard: str) -> bool:
    """Whether it names a file of this folder, and not one somewhere else."""
    return Path(shard).name == shard and len(shard.encode("utf-8", "replace")) < 256 and (folder / shard).is_file()


def fingerprint(folder: Path, adapter: Path | None = None) -> str:
    """Identify a checkpoint: SHA-256 over config, tokenizer, safetensors headers with sizes, and samples of weights.

    The samples (4 KB at the start, in the middle and at the end of every tensor) are there because a model and its
    fine-tuned descendants share all the rest. Reads about a thousandth of a large model; `full_hash` reads all of it.
    """
    total = hashlib.sha256()
    for part in filter(None, (folder, adapter)):
        for name in _IDENTITY_FILES:
            path = part / name
            if path.is_file():
                total.update(f"{name}\0".encode() + read_bytes(path))
        for path in _weights_of(part):
            header, tensors = read_header(path)
            total.update(f"{path.name}\0{path.stat().st_size}\0".encode() + header)
            for sample in _samples(path, len(header), tensors):
                total.update(sample)
    return total.hexdigest()


def _weights_of(folder: Path) -> tuple[Path, ...]:
    adapter = folder / "adapter_model.safetensors"
    is_adapter = (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file()
    return (adapter,) if is_adapter else weight_files(folder)


def _samples(path: Path, length: int, tensors: Mapping[str, Stored]) -> Iterator[bytes]:
    """Samples of every tensor behind a header of that length."""
    with path.open("rb") as file:
        for start, end in ((tensor.start, tensor.end) for tensor in tensors.values()):
            middle = max(start, (start + end - _SAMPLE) // 2)
            for place in sorted({start, middle, max(start, end - _SAMPLE)}):
                file.seek(8 + length + place)
                yield file.read(min(_SAMPLE, end - place))


def full_hash(folder: Path, adapter: Path | None = None) -> str:
    """SHA-256 over every byte of the weights of a checkpoint and its adapter; remembered until a file changes."""
    files = [path for part in filter(None, (folder, adapter)) for path in _weights_of(part)]
    return _hash_bytes(tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in files))


@lru_cache(maxsize=64)
def _hash_bytes(files: tuple[tuple[Path, int, int], ...]) -> str:
    total = hashlib.sha256()
    for path, _, _ in files:
        with path.open("rb") as file:
            while chunk := file.read(2**22):
                total.update(chunk)
    return total.hexdigest()
