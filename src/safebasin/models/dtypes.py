"""The dtype that `auto` means, told from a checkpoint's config.json: no torch unless the device decides."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from safebasin.models.files import read_json

__all__ = ["stored_dtype"]


def stored_dtype(folder: Path, *, device: str) -> str:
    """The dtype that an engine will load a checkpoint in: its own, but float32 for a float16 one on a CPU.

    So `placement.resolve_dtype` decides when the model is loaded, and that is what counts; this is how a plan, or a
    study with nothing left to decode, knows it before.

    Args:
        folder: a Hugging Face folder.
        device: as in a study; `auto` is looked up.

    Raises:
        ModelError: where config.json cannot be read.
    """
    config = read_json(folder / "config.json", folder.name)
    text = config.get("text_config")
    parts = [cast("Mapping[str, object]", text) if isinstance(text, Mapping) else {}, config]
    named = next((str(part[key]) for part in parts for key in ("dtype", "torch_dtype") if part.get(key)), "float32")
    own = named.removeprefix("torch.")
    return "float32" if own == "float16" and _is_cpu(device) else own


def _is_cpu(device: str) -> bool:
    if device != "auto":
        return device == "cpu"
    import torch

    return not (torch.cuda.is_available() or torch.backends.mps.is_available())
