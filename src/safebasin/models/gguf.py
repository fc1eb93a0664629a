"""GGUF files as ordinary Hugging Face folders: the weights they stand for, dequantized once into a cache, in float32.

Read by transformers (`gguf_file=`) and the package `gguf`. The folders are in `runs/gguf`, or in the folder that the
environment variable `SAFEBASIN_GGUF` names. Not how llama.cpp would answer: its kernels round otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import contextmanager, redirect_stderr
from functools import lru_cache
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from safebasin.errors import MissingExtra, ModelError, expected
from safebasin.models.files import border
from safebasin.models.made import made_once
from safebasin.models.quiet import quiet
from safebasin.models.writing import describe, is_unsafe, save_model, versions
from safebasin.untrusted import MIB

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["CACHE", "check_gguf", "identity", "plain_folder", "write_plain"]

CACHE = "SAFEBASIN_GGUF"
"""The environment variable that names the folder of the dequantized models."""
_VERSION = 1
"""Of what is written for a file; part of its identity."""
_HEAD = 16 * MIB
"""Bytes at the start that are read for the identity: settings, vocabulary and the table of tensors, mostly."""
_SAMPLES, _SAMPLE = 1024, 4096
"""Samples of the rest, evenly spread, and the bytes of each."""
_NEEDED = 9
"""Bytes of disk that a byte of the file may take: four bits become 32, and some for the rest."""


def plain_folder(gguf: Path) -> Path:
    """The folder of a file's weights in float32, with tokenizer and template; written where it is not there yet.

    Raises:
        MissingExtra: where `gguf` or `accelerate` is not installed.
        ModelError: where the file is no GGUF, truncated, of an architecture that transformers cannot read, or the disk
            is too small.
    """
    check_gguf(gguf)

    def make(folder: Path) -> None:
        write_plain(gguf, folder)
        text = f"The weights that {gguf.name} stands for, in float32."
        record = {"kind": "gguf", "of": identity(gguf), "versions": versions("torch", "transformers", "gguf")}
        describe(folder, record, unsafe=is_unsafe(gguf.parent), title=gguf.stem, text=text, head={})

    name, needed = f"{gguf.stem}-{identity(gguf)[:16]}", _NEEDED * gguf.stat().st_size
    return made_once(name, make, variable=CACHE, default="runs/gguf", needed=needed)


def check_gguf(gguf: Path) -> None:
    """Raises: ModelError where this is no GGUF file, MissingExtra where nothing here reads one."""
    with border("model", "a GGUF file that can be read", str(gguf), "Check its permissions."):
        if not gguf.is_file():  # a pipe would have no end
            raise ValueError("no regular file")
        with gguf.open("rb") as file:
            start = file.read(4)
    if start != b"GGUF":
        raise ModelError(expected("model", "a GGUF file", f"{gguf} ({start!r} at its start)", "Download it again."))
    for package in ("gguf", "accelerate"):
        if find_spec(package) is None:
            raise MissingExtra("reading a GGUF file", package, "gguf")


def identity(gguf: Path) -> str:
    """Identify a file: SHA-256 of its size, its first 16 MB, and 1,024 samples of the rest."""
    found = gguf.stat()
    return _identity(gguf, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=64)
def _identity(gguf: Path, size: int, _changed: int) -> str:
    total = hashlib.sha256(f"gguf v{_VERSION}\0{size}\0".encode())
    with gguf.open("rb") as file:
        total.update(file.read(_HEAD))
        for i in range(_SAMPLES if size > _HEAD else 0):
            file.seek(_HEAD + max(0, size - _HEAD - _SAMPLE) * i // (_SAMPLES - 1))
            total.update(file.read(_SAMPLE))
    return total.hexdigest()


def write_plain(gguf: Path, folder: Path) -> None:
    """Write model, tokenizer and template of a file into a folder that is there.

    Raises:
        ModelError: as `plain_folder`.
    """
    with _reading(gguf):
        model, tokenizer = _model(gguf), _tokenizer(gguf)
        if tokenizer.model_max_length > 10**9:  # the file does not say
            tokenizer.model_max_length = getattr(model.config, "max_position_embeddings", tokenizer.model_max_length)
        save_model(model, folder)
        tokenizer.save_pretrained(folder)


@contextmanager
def _reading(gguf: Path) -> Generator[None]:
    """Whatever is raised on the way as one line; without the progress bar that nothing else turns off."""
    constraint, remedy = "a GGUF file that transformers can read", "Download it again, or take the model's own folder."
    with quiet(), redirect_stderr(StringIO()), border("model", constraint, str(gguf), remedy):
        yield


def _model(gguf: Path) -> PreTrainedModel:
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    return AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )


def _tokenizer(gguf: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of the file, with the digits apart where it says so.

    A file that says `smollm` splits every digit off before anything else; what transformers makes of it does not, and
    would tokenize `  1` (two spaces) in another way than the model was trained on.
    """
    from gguf import GGUFReader
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    tokenizer = cast("Any", AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name))
    said = GGUFReader(gguf).get_field("tokenizer.ggml.pre")
    if said is not None and said.contents() == "smollm":
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ])  # fmt: skip
    return tokenizer
