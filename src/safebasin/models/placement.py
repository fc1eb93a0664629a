"""Where a model runs and in which floating-point type: what engines, training and edits ask. Loads nothing."""

from __future__ import annotations

import torch
from transformers import PretrainedConfig

from safebasin.errors import UsageError, expected

__all__ = ["resolve_device", "resolve_dtype"]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def resolve_device(text: str) -> torch.device:
    """The device of `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; `auto` is the first of CUDA, MPS, CPU that is there.

    Raises:
        UsageError: where this machine does not have it.
    """
    has_mps = torch.backends.mps.is_available()
    if text == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    here = ["auto", "cpu", *(["cuda"] if count else []), *(f"cuda:{i}" for i in range(count)), *["mps"] * has_mps]
    if text not in here:
        remedy = "Use --device auto, or install a torch that was built for this accelerator."
        raise UsageError(expected("device", f"one that this machine has ({', '.join(here)})", text, remedy))
    return torch.device(text)


def resolve_dtype(text: str, config: PretrainedConfig, device: torch.device) -> torch.dtype:
    """The type that a checkpoint's weights take on a device where they are changed and kept.

    An engine that answers settles what `auto` means before (`models.computed.computed_dtype`).

    Args:
        text: `float32`, `bfloat16`, `float16`, or `auto`: the checkpoint's own, except float16 on a CPU, which has no
            fast arithmetic for it: float32.
        config: of the checkpoint.
        device: where it will run.

    Raises:
        UsageError: where the type is not known.
    """
    if text == "auto":
        own = getattr(config.get_text_config(decoder=True), "dtype", None) or config.dtype
        own = _DTYPES.get(own, torch.float32) if isinstance(own, str) else own or torch.float32
        return torch.float32 if own == torch.float16 and device.type == "cpu" else own
    if text not in _DTYPES:
        raise UsageError(expected("dtype", f"one of auto, {', '.join(_DTYPES)}", text, "Use --dtype auto."))
    return _DTYPES[text]
