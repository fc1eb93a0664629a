"""A checkpoint's own dtype, told from its config.json, and that which its weights are trained in.

No torch unless the device decides. Answering has a rule of its own (`computed`): AdamW in a half-precision type loses
small steps by rounding, answers lose nothing but time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from safebasin.models.files import read_json

__all__ = ["is_cpu", "own_dtype", "training_dtype"]


def training_dtype(text: str, folder: Path, *, device: str) -> str:
    """The dtype that weights are trained in.

    `auto` is float32, but for a bfloat16 checkpoint on an accelerator, which keeps its own: float16 has too little
    range for AdamW, and on a CPU half precision is slower and loses steps.

    Args:
        text: as a user wrote it: `auto`, or the dtype itself.
        folder: a Hugging Face folder.
        device: `auto` is looked up.

    Raises:
        ModelError: where config.json cannot be read.
    """
    if text != "auto":
        return text
    own = own_dtype(folder)
    return "float32" if own == "float16" or (own == "bfloat16" and is_cpu(device)) else own


def own_dtype(folder: Path) -> str:
    """The dtype of a checkpoint's weights, as its config.json names it; float32 where it does not.

    Raises:
        ModelError: where config.json cannot be read.
    """
    config = read_json(folder / "config.json", folder.name)
    text = config.get("text_config")
    parts = [cast("Mapping[str, object]", text) if isinstance(text, Mapping) else {}, config]
    named = next((str(part[key]) for part in parts for key in ("dtype", "torch_dtype") if part.get(key)), "float32")
    return named.removeprefix("torch.")


def is_cpu(device: str) -> bool:
    """Tell whether a device as in a study is the CPU; `auto` is looked up."""
    if device != "auto":
        return device == "cpu"
    import torch

    return not (torch.cuda.is_available() or torch.backends.mps.is_available())
