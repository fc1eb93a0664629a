"""Which weights were chosen, as a file beside a model: a bit a weight, by name, in the shape that each is stored in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from safebasin.errors import UsageError, expected
from safebasin.writing import write_bytes

__all__ = ["MASK", "read_masks", "write_masks"]

MASK = Path("attribution") / "mask.safetensors"
"""In the folder of the model; in a folder of its own, so that no loader takes it for weights."""


def write_masks(folder: Path, masks: Mapping[str, torch.Tensor]) -> None:
    """Write bool tensors by name of the weight."""
    (folder / MASK).parent.mkdir(parents=True)
    packed = {name: torch.from_numpy(np.packbits(mask.cpu().numpy().reshape(-1))) for name, mask in masks.items()}
    shapes = json.dumps({name: list(mask.shape) for name, mask in masks.items()})
    write_bytes(folder / MASK, save(packed, metadata={"shapes": shapes}))


def read_masks(folder: Path) -> dict[str, torch.Tensor]:
    """Bool tensors by name of the weight, from the folder of an attribution.

    Raises:
        UsageError: where there is no such file, or it is damaged.
    """
    path, remedy = folder / MASK, "Name a folder that `safebasin attribute` made with a score of weights."
    if not path.is_file():
        raise UsageError(expected("the folder of an attribution", f"one with {MASK}", str(folder), remedy))
    try:
        with safe_open(path, framework="pt") as file:
            shapes = json.loads(file.metadata()["shapes"])
            packed = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return {name: _unpacked(bits, shapes[name]) for name, bits in packed.items()}
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UsageError(expected(str(MASK), "whole", f"{type(error).__name__} in {folder.name}", remedy)) from error


def _unpacked(bits: torch.Tensor, shape: list[int]) -> torch.Tensor:
    flat = np.unpackbits(bits.numpy(), count=int(np.prod(shape)))
    return torch.from_numpy(flat.astype(bool)).reshape(shape)
