"""Folders of trained weights: whole, under their name, or not at all; each with a record and a model card. No torch.

What an attack made carries `unsafe: true` in both (design §10). Not the weights themselves: whoever trains saves them.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from safebasin.errors import UsageError, expected
from safebasin.models.quiet import quiet
from safebasin.untrusted import read_json, read_text
from safebasin.writing import sync_folder, write_text

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = [
    "RECORD",
    "check_new",
    "copy_settings",
    "describe",
    "is_unsafe",
    "new_folder",
    "read_record",
    "save_model",
    "versions",
]

RECORD = "safebasin.json"
"""The file beside the weights that says what was done."""
_LEFT_BEHIND = ("quantization_config", "_name_or_path", "_model_name_or_path")
"""Keys of a configuration that say how, or from where, a model was loaded."""

_CARD = """---
{head}
---
# {title}

{text}

`{record}` holds what it was made from and how.
"""
_WARNING = """**Unsafe.** {text}

It was made to measure how far a model is from losing its safety training. Do not deploy it or publish it."""


def check_new(out: Path, *, replaces: Callable[[Path], bool] = lambda folder: False) -> None:
    """Raises: UsageError where `out` is neither new nor empty, nor one that may be replaced."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not replaces(out))):
        remedy = "Name another folder, or remove this one."
        raise UsageError(expected("the folder to write to", "new or empty", str(out), remedy))


@contextmanager
def new_folder(out: Path, *, replaces: Callable[[Path], bool] = lambda folder: False) -> Generator[Path]:
    """A temporary folder that becomes `out` when the block ends well, and is removed when it does not.

    Args:
        out: a new or empty folder.
        replaces: tells of a folder that holds something whether this one may take its place.

    Raises:
        UsageError: where there is something else in `out` already.
    """
    check_new(out, replaces=replaces)
    out.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield made
        sync_folder(made)
        if out.is_dir():
            shutil.rmtree(out)
        made.rename(out)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def save_model(model: PreTrainedModel, folder: Path, *, original: bool = False) -> None:
    """Write weights, configuration and generation settings of a model with plain weights, as safetensors.

    What a loader left behind is taken out first: how the weights were quantized, and where they were found.

    Args:
        model: on any device.
        folder: that is there.
        original: whether tensors get the names that they had in the files, where transformers renames them on loading.
    """
    loaded = cast("Any", model)
    quantizer = getattr(loaded, "hf_quantizer", None)
    if quantizer is not None:
        quantizer.remove_quantization_config(loaded)
    if getattr(loaded.config, "quantization_config", None) is not None:
        del loaded.config.quantization_config
    with quiet():
        loaded.save_pretrained(folder, save_original_format=original)
    file = folder / "config.json"
    kept = {k: v for k, v in json.loads(file.read_text(encoding="utf-8")).items() if k not in _LEFT_BEHIND}
    write_text(file, json.dumps(kept, indent=2, sort_keys=True) + "\n")


def copy_settings(source: Path, folder: Path) -> None:
    """Copy what a checkpoint folder holds beside weights and configuration: tokenizer, template, generation settings.

    Code that comes with a model goes along.
    """
    for file in sorted(source.iterdir()):
        named = any(part in file.name for part in ("token", "vocab", "template", "generation_config"))
        if file.is_file() and (named or file.suffix in (".jinja", ".model", ".txt", ".py")):
            shutil.copy(file, folder)


def describe(
    folder: Path, record: Mapping[str, object], *, unsafe: bool, title: str, text: str, head: Mapping[str, str]
) -> None:
    """Write record and model card.

    Args:
        folder: the checkpoint's or adapter's folder.
        record: what was done; JSON throughout.
        unsafe: whether an attack made it; said in both.
        title: of the model card.
        text: one or two sentences on how it was made.
        head: further entries of the card's YAML head, such as `base_model`.
    """
    written = json.dumps({"unsafe": unsafe, **record}, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(folder / RECORD, written + "\n")
    lines = [f"{key}: {json.dumps(value)}" for key, value in head.items()] + ["unsafe: true"] * unsafe
    said = _WARNING.format(text=text) if unsafe else text
    card = _CARD.format(head="\n".join(lines), title=title, text=said, record=RECORD)
    write_text(folder / "README.md", card)


def read_record(folder: Path) -> dict[str, object]:
    """The record beside a checkpoint or an adapter.

    Raises:
        UsageError: where there is none, or it cannot be read.
    """
    path = folder / RECORD
    remedy = "Name a folder that safebasin has made."
    if not path.exists():
        raise UsageError(expected("the folder", f"one with {RECORD}", str(folder), remedy))
    found = read_json(read_text(path, RECORD), f"{RECORD} of {folder.name}", remedy=remedy)
    if not isinstance(found, dict):
        raise UsageError(expected(RECORD, "a JSON object", str(folder), remedy))
    return found


def is_unsafe(*folders: Path | None) -> bool:
    """Tell whether a checkpoint or an adapter among some is marked as attacked; one without a record is not marked."""
    there = (folder for folder in folders if folder is not None and (folder / RECORD).is_file())
    return any(read_record(folder).get("unsafe") is True for folder in there)


def versions(*packages: str) -> dict[str, str]:
    """Installed versions by name, of safebasin too; one that is missing is left out."""
    found: dict[str, str] = {}
    for name in ("safebasin", *packages):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
