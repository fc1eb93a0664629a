"""The dtype that a checkpoint answers in, settled before it is loaded: one rule for plans, studies and engines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safebasin import memory
from safebasin.errors import ModelError
from safebasin.models.dtypes import is_cpu, own_dtype
from safebasin.models.files import read_json
from safebasin.models.folder import weight_files
from safebasin.models.headers import read_headers
from safebasin.models.sizes import ITEMSIZE, sizes_of
from safebasin.models.whole import quantization

__all__ = ["HALF", "Settled", "computed_dtype", "computed_words", "weight_count"]

HALF = ("bfloat16", "float16")
_SHARE = 0.8
"""Of the available memory, what weights in float32 may take; the rest is left to the rows that are decoded."""
_COPIES = 2
"""Of its weights an engine holds the module and θ₀, unless θ₀ stays in its files."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A dtype, and what is to be said of it."""

    dtype: str
    words: str = ""
    """One sentence where it is not simply the checkpoint's own; else empty."""


def computed_dtype(folder: Path, *, device: str, low_memory: bool | str = "auto") -> Settled:
    """The dtype that `auto` means: the checkpoint's own, but float32 for one in half precision on a CPU.

    A CPU computes half precision at a fraction of the speed of float32. Where float32 weights and θ₀ do not fit into
    four fifths of the memory that is available, limits of control groups counted, the checkpoint's own it is.

    Args:
        folder: a Hugging Face folder; its weights need not be there.
        device: as in a study; `auto` is looked up.
        low_memory: as in a study; only True leaves θ₀ in its files.

    Raises:
        ModelError: where config.json cannot be read.
    """
    own = own_dtype(folder)
    if own not in HALF or not is_cpu(device):
        return Settled(own)
    if quantization(read_json(folder / "config.json", folder.name)):
        return Settled("float32" if own == "float16" else own)  # packed weights stay as they are
    count = weight_count(folder)
    if count is None:
        return Settled(own)
    needed, free = count * ITEMSIZE["float32"] * (1 if low_memory is True else _COPIES), memory.available()
    if needed <= _SHARE * free:
        return Settled("float32", computed_words("float32", own))
    why = f"float32 would take {needed / 2**30:.3g} GiB with θ₀, and {free / 2**30:.3g} GiB are available"
    return Settled(own, f"Computed in {own} as the checkpoint is stored, though on a CPU: {why}.")


def computed_words(dtype: str, own: str, *, on_cpu: bool = False) -> str:
    """Say what a dtype that was settled before means; empty where it is the checkpoint's own and fast enough."""
    if dtype != own:
        return f"Computed in {dtype}; the checkpoint is stored in {own}."
    return f"Computed in {own} as the checkpoint is stored, though on a CPU." if own in HALF and on_cpu else ""


def weight_count(folder: Path) -> int | None:
    """The number of weights of a checkpoint, by its headers or else its configuration; None where neither tells."""
    try:
        files = weight_files(folder)
        if files:
            return sum(tensor.n_elements for tensor in read_headers(files).values())
        return sizes_of(folder).parameters
    except ModelError:  # what is amiss is said by whoever loads it
        return None
