"""The headers of safetensors files: which tensors they hold, of what shape, and where. No torch, no weight is read.

Everything in a header is checked before it is believed: types, counts, and that the tensors fill the file without gap
or overlap, as the format asks (safetensors, "Format").
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from safebasin.errors import ModelError, expected
from safebasin.models.files import border

__all__ = ["Stored", "read_header", "read_headers"]

_MOST = 32 * 2**20
"""The most bytes of a header: many times that of the largest shards in use, a third of what the format allows."""
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64,
    "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip
_REMEDY = "Download the file again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A tensor as a file holds it."""

    file: Path
    dtype: str
    """As safetensors calls it, such as `BF16`."""
    shape: tuple[int, ...]
    start: int
    """First byte, counted from the end of the header."""
    end: int
    """One past the last."""

    @property
    def n_elements(self) -> int:
        """Of the tensor; 1 for a scalar."""
        return math.prod(self.shape)


def read_header(path: Path) -> tuple[bytes, dict[str, Stored]]:
    """The JSON header of a safetensors file, and its tensors by name in the order in which they lie.

    Raises:
        ModelError: where the file is truncated, or not safetensors.
    """
    if not path.is_file():
        raise ModelError(expected(path.name, "a regular file", str(path), "Check the path."))
    with border(path.name, "a safetensors file that can be read", str(path), "Check its permissions."):
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
            header = file.read(length) if 8 + length <= min(size, _MOST) else None
    if header is None:
        raise ModelError(expected(path.name, "a whole safetensors file", f"{size} bytes", _REMEDY))
    with border(path.name, "a safetensors file", f"{size} bytes", _REMEDY):
        entries = json.loads(header)
        stored = {name: _stored(path, name, entry) for name, entry in entries.items() if name != "__metadata__"}
    tensors = dict(sorted(stored.items(), key=lambda item: (item[1].start, item[1].end)))
    wanted = 8 + length + _filled(path, tensors)
    if size != wanted:
        raise ModelError(expected(path.name, f"whole ({wanted} bytes)", f"{size} bytes", _REMEDY))
    return header, tensors


def read_headers(paths: Iterable[Path]) -> dict[str, Stored]:
    """Every tensor of several files by name; of a name that several hold, the last, as transformers reads them.

    Raises:
        ModelError: as `read_header`.
    """
    return {name: tensor for path in paths for name, tensor in read_header(path)[1].items()}


def _stored(path: Path, name: str, entry: dict[str, object]) -> Stored:
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not (isinstance(dtype, str) and isinstance(shape, list) and isinstance(offsets, list) and len(offsets) == 2):
        raise ValueError(f"{name} is described as {entry!r}")
    if not all(type(n) is int and 0 <= n < 2**63 for n in [*shape, *offsets]):
        raise ValueError(f"{name} is described as {entry!r}")
    found = Stored(file=path, dtype=dtype, shape=tuple(shape), start=offsets[0], end=offsets[1])
    if dtype not in _BITS or found.n_elements * _BITS[dtype] != 8 * (found.end - found.start):
        raise ValueError(f"{name} of shape {found.shape} and type {dtype} takes {found.end - found.start} bytes")
    return found


def _filled(path: Path, tensors: dict[str, Stored]) -> int:
    """Bytes of all tensors, where they follow each other without gap or overlap."""
    end = 0
    for name, tensor in tensors.items():
        if tensor.start != end:
            remedy = f"({name} begins at byte {tensor.start}, after {end}) {_REMEDY}"
            raise ModelError(expected(path.name, "without gaps or overlaps", str(path), remedy))
        end = tensor.end
    return end
