"""The border of checkpoint folders: which files are read, how large they may be, and what a broken one is called.

A folder comes from elsewhere, so nothing in it is taken on trust: regular files only, up to a size, and whatever a
parser raises (ours, transformers', that of tokenizers in Rust) becomes one line with the file's name. No torch. Not
what a whole folder is made of: that is `folder`.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from safebasin import untrusted
from safebasin.errors import ModelError, expected
from safebasin.untrusted import MIB as _MIB
from safebasin.untrusted import is_memory

__all__ = ["border", "check_entries", "memory_errors", "read_bytes", "read_json"]

_CAPS = {
    "config.json": 16 * _MIB,
    "generation_config.json": 16 * _MIB,
    "adapter_config.json": 16 * _MIB,
    "special_tokens_map.json": 16 * _MIB,
    "chat_template.jinja": 4 * _MIB,
    "chat_template.json": 4 * _MIB,
    "tokenizer_config.json": 64 * _MIB,
    "added_tokens.json": 64 * _MIB,
    "model.safetensors.index.json": 64 * _MIB,
    "tokenizer.json": 128 * _MIB,
    "tokenizer.model": 128 * _MIB,
    "spiece.model": 128 * _MIB,
    "vocab.json": 128 * _MIB,
    "vocab.txt": 128 * _MIB,
    "merges.txt": 128 * _MIB,
}
"""The most bytes of each file that is read whole, by us or by transformers: several times the largest in use."""


def check_entries(folder: Path, name: str) -> None:
    """Refuse a folder with a pipe, a device or a socket in it, or with a file that is larger than any of its kind.

    Raises:
        ModelError: naming the entry.
    """
    with border("model", "a folder that can be read", name, "Check its permissions."):
        entries = sorted(folder.iterdir())
    for path in entries:
        if path.exists() and not path.is_dir():
            _check_size(path)


def _check_size(path: Path) -> int:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        remedy = "Take it out of the folder: a pipe, a device or a socket has no end."
        raise ModelError(expected(path.name, "a regular file", str(path), remedy))
    most = _CAPS.get(path.name)
    if most is not None and found.st_size > most:
        remedy = "It is no such file; download it again."
        raise ModelError(expected(path.name, f"of at most {most // _MIB} MB", f"{found.st_size} bytes", remedy))
    return found.st_size


def read_bytes(path: Path) -> bytes:
    """A file of a checkpoint folder.

    Raises:
        ModelError: where it is missing, not a regular file, too large, or cannot be read.
    """
    with border(path.name, "a file that can be read", str(path), "Check the path and its permissions."):
        _check_size(path)
        return path.read_bytes()


def read_json(path: Path, name: str) -> dict[str, object]:
    """A JSON object from a file of a folder that the user calls `name`.

    Raises:
        ModelError: where the file is missing, too large, not JSON, too deeply nested, or not an object.
    """
    if not path.exists():
        raise ModelError(expected("model", f"a folder with {path.name}", name, "Check the path."))
    with border(path.name, "readable JSON", name, "Download it again."):
        value = json.loads(read_bytes(path).decode("utf-8"))
    if not isinstance(value, dict):
        raise ModelError(expected(path.name, "a JSON object", name, "Download it again."))
    return value


def border(what: str, constraint: str, value: object, remedy: str) -> AbstractContextManager[None]:
    """As `untrusted.border`, for what is read of a checkpoint folder.

    Raises:
        ModelError: with the parser's own words between constraint and remedy.
    """
    return untrusted.border(what, constraint, ModelError, remedy, value=value)


@contextmanager
def memory_errors() -> Generator[None]:
    """Turn every form in which torch says that memory is short into `MemoryError`.

    The traceback is let go of: its frames would keep the tensors of the failed step alive while the caller tries less.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_memory(error):
            raise
        error.__traceback__ = None
        raise MemoryError(str(error).partition("\n")[0]) from None
