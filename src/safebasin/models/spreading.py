"""A model spread over several GPUs of one process: whether they are there, what each may hold, where its tensors lie.

Whole layers lie on a device each, as `device_map="auto"` of transformers and accelerate puts them; nothing is left on
the host or on a disk, since weights that are moved must be held. Which GPUs a process sees is `CUDA_VISIBLE_DEVICES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from safebasin.errors import MissingExtra, ModelError, UsageError, expected

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["check_gpus", "check_held", "devices_of", "n_gpus", "placed_over"]

_SHARE = 0.9
"""Of a GPU's free memory, what weights may take; the rest is for the rows that are decoded."""


def n_gpus() -> int:
    """Count the GPUs that this process sees; none is touched."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def check_gpus(wanted: int, device: str) -> None:
    """Refuse to spread a model over GPUs that are not here.

    Args:
        wanted: how many, more than 1.
        device: as in a study.

    Raises:
        UsageError: where the device is another, or this process sees fewer GPUs.
        MissingExtra: where accelerate is not installed.
    """
    if device not in ("auto", "cuda"):
        remedy = "Leave it out, or --gpus-per-worker."
        raise UsageError(expected("device", f"auto or cuda where --gpus-per-worker is {wanted}", device, remedy))
    if wanted > n_gpus():
        constraint = f"at most {n_gpus()}, the GPUs that this process sees"
        fewer = "Take fewer" if n_gpus() else "Leave it out"
        remedy = f"{fewer}, or take a machine that has them (CUDA_VISIBLE_DEVICES may hide some)."
        raise UsageError(expected("--gpus-per-worker", constraint, wanted, remedy))
    if find_spec("accelerate") is None:
        raise MissingExtra("a model over several GPUs", "accelerate", "gpus")


def placed_over(gpus: int) -> Mapping[str, object]:
    """The keywords of `from_pretrained` that spread a model evenly over the first GPUs of this process.

    Args:
        gpus: how many, more than 1.
    """
    import torch

    free = {at: int(_SHARE * torch.cuda.mem_get_info(at)[0]) for at in range(gpus)}
    return {"device_map": "auto", "max_memory": {**free, "cpu": 0}}


def check_held(model: nn.Module, name: str) -> None:
    """Refuse a model of which layers were left to the host or to a disk.

    Args:
        model: as `from_pretrained` placed it.
        name: as the user wrote it.

    Raises:
        ModelError: where its GPUs do not hold it.
    """
    where = getattr(model, "hf_device_map", {})
    left = sum(device in ("cpu", "disk") for device in where.values())
    if left:
        remedy = f"({left} of its parts found no room) Take more --gpus-per-worker, or a smaller dtype."
        raise ModelError(expected("model", "small enough for the memory of its GPUs", name, remedy))


def devices_of(model: nn.Module) -> tuple[torch.device, ...]:
    """The devices of a model's parameters, in the order in which its modules need them; one where it is not spread."""
    return tuple(dict.fromkeys(parameter.device for parameter in model.parameters()))
