"""θ₀ in two forms behind `safebasin.protocols.BaseWeights`: a copy in host memory, or the memory-mapped files.

Neither is ever written to; buffers are not weights. The mapped form holds no second copy of the model; it is taken only
where names, shapes and contents of the files match the module's one to one, else there is a host copy, and `why` says
so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
import torch
from safetensors import safe_open
from torch import nn

from safebasin.errors import ModelError, expected
from safebasin.models.folder import weight_files
from safebasin.models.headers import read_headers
from safebasin.protocols import BaseWeights
from safebasin.weights.adapters import merge_adapter
from safebasin.weights.layout import Layout, exclusions, row_blocks

__all__ = ["HostWeights", "MappedWeights", "check_finite", "exclusions", "matching_files", "open_base", "row_blocks"]

_MEMORY_SHARE = 0.5
"""A host copy is made on its own where it takes at most this share of the memory that is available."""


class HostWeights:
    """A copy of the module's parameters in host memory, in the module's dtype.

    Args:
        module: at θ₀.
        folder: the checkpoint it came from, if any; its tokenizer is compared when directions lead to others.
        copy: False takes the module's own tensors; only for a module that nobody else will touch.
        why: why there is a copy although the files were wanted; empty where a copy was wanted.

    Raises:
        ModelError: where a weight is NaN or infinite.
    """

    kind = "host copy"

    def __init__(self, module: nn.Module, *, folder: Path | None = None, copy: bool = True, why: str = "") -> None:
        self._tensors = {name: p.detach().to("cpu", copy=copy) for name, p in module.named_parameters()}
        self.layout = Layout.of(module)
        self.folder = folder
        self.why = why
        check_finite(self)

    @property
    def names(self) -> Sequence[str]:
        """Canonical names in module order."""
        return tuple(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        return tuple(self._tensors[name].shape)

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows of axis 0; a scalar's only row is itself. Never write to it."""
        tensor = self._tensors[name]
        return tensor if tensor.dim() == 0 else tensor[start:stop]

    def excluded(self) -> Mapping[str, str]:
        """Names that random directions leave alone, with the reason."""
        return self.layout.excluded


class MappedWeights:
    """The safetensors files themselves, memory-mapped and read row by row.

    Args:
        layout: names and shapes, as in the files.
        files: canonical name → file.
        folder: the checkpoint.
        stored: whether rows come in the dtype of the file, rather than that of the layout.
    """

    kind = "memory-mapped files"
    why = ""

    def __init__(self, layout: Layout, files: Mapping[str, Path], *, folder: Path, stored: bool = False) -> None:
        self.layout = layout
        self.folder = folder
        self._files = dict(files)
        self._stored = stored

    @property
    def names(self) -> Sequence[str]:
        """Canonical names in module order."""
        return tuple(self.layout.shapes)

    @property
    def n_bytes(self) -> int:
        """Bytes of all tensors in the dtype of the layout."""
        sizes = {name: torch.Size(shape).numel() for name, shape in self.layout.shapes.items()}
        return sum(size * self.layout.dtypes[name].itemsize for name, size in sizes.items())

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        return self.layout.shapes[name]

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows of axis 0, read from the file now."""
        with safe_open(self._files[name], framework="pt") as file:
            rows = file.get_slice(name)[start:stop] if self.shape(name) else file.get_tensor(name)
        return rows if self._stored else rows.to(self.layout.dtypes[name])

    def excluded(self) -> Mapping[str, str]:
        """Names that random directions leave alone, with the reason."""
        return self.layout.excluded


def open_base(
    module: nn.Module, folder: Path, *, low_memory: bool | str = "auto", adapter: Path | None = None
) -> HostWeights | MappedWeights:
    """θ₀ of a freshly loaded module; an adapter is merged into the module first.

    Args:
        module: the model, at θ₀.
        folder: the checkpoint it was loaded from.
        low_memory: True prefers the mapped files, False the host copy, `auto` the copy where it fits well.
        adapter: folder of an adapter that belongs to θ₀.

    Raises:
        ModelError: where a weight is NaN or infinite, or the adapter does not fit.
    """
    if adapter is not None:
        merge_adapter(module, adapter)
    needed = sum(p.numel() * p.element_size() for p in module.parameters())
    wants_files = low_memory is True or (
        low_memory == "auto" and needed > _MEMORY_SHARE * psutil.virtual_memory().available
    )
    if not wants_files:
        return HostWeights(module, folder=folder)
    if adapter is not None:
        return HostWeights(module, folder=folder, why="an adapter was merged, so the files are not θ₀")
    layout = Layout.of(module)
    files = matching_files(layout, folder)
    if isinstance(files, str):
        return HostWeights(module, folder=folder, why=files)
    mapped = MappedWeights(layout, files, folder=folder)
    different = _first_difference(mapped, module)
    if different is not None:
        return HostWeights(module, folder=folder, why=f"{different} was changed on loading")
    return mapped


def matching_files(layout: Layout, folder: Path) -> dict[str, Path] | str:
    """Canonical name → safetensors file, where every parameter is there under its name and shape; else why not."""
    stored = stored_shapes(folder)
    for name, shape in layout.shapes.items():
        if name not in stored:
            return f"the files hold no {name}"
        if stored[name][1] != shape:
            return f"{name} is of shape {stored[name][1]} in the files, {shape} when loaded"
    return {name: stored[name][0] for name in layout.shapes}


def stored_shapes(folder: Path) -> dict[str, tuple[Path, tuple[int, ...]]]:
    """Every tensor that the weight files of a folder hold: name → (file, shape)."""
    return {name: (found.file, found.shape) for name, found in read_headers(weight_files(folder)).items()}


def _first_difference(mapped: MappedWeights, module: nn.Module) -> str | None:
    """The first tensor of the files that is not what the module holds: transformers may convert what it loads.

    Reads every file once, and looks for NaN and infinities on the way.
    """
    for name, parameter in module.named_parameters():
        held = parameter.detach()
        for start, stop in row_blocks(mapped.shape(name)):
            stored = _comparable(mapped.rows(name, start, stop))
            _refuse_unless_finite(name, stored, "weights")
            if not torch.equal(stored, _comparable(held if held.dim() == 0 else held[start:stop]).cpu()):
                return name
    return None


def check_finite(base: BaseWeights, what: str = "weights") -> None:
    """Refuse a model with NaN or infinite weights: every landscape around it would be meaningless.

    Raises:
        ModelError: naming the first such tensor.
    """
    for name in base.names:
        for start, stop in row_blocks(base.shape(name)):
            _refuse_unless_finite(name, _comparable(base.rows(name, start, stop)), what)


def _refuse_unless_finite(name: str, rows: torch.Tensor, what: str) -> None:
    if rows.is_floating_point() and not bool(torch.isfinite(rows).all()):
        remedy = "Repair the checkpoint, or take another one."
        raise ModelError(expected(what, "finite", f"NaN or inf in {name}", remedy))


def _comparable(rows: torch.Tensor) -> torch.Tensor:
    """Eight-bit floats know neither `isfinite` nor `equal`."""
    return rows.float() if rows.is_floating_point() and rows.element_size() == 1 else rows
