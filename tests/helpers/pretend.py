"""Accelerators `pretend:0`, `pretend:1`, … on the CPU: a tensor lies on one, and an operation over two is an error.

As on real ones, nothing but a copy crosses from device to device; so a model that is spread over them answers only if
every tensor is where its layer wants it. Registering the device changes torch for the whole process: to be used in a
process of its own.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "pretend"
_CROSSES = torch.ops.aten.copy_.default


@contextmanager
def accelerators() -> Generator[None]:
    """Within it, tensors can be on pretended accelerators."""
    _setup_privateuseone_for_python_backend(NAME)
    with _Made(), _Computed():
        yield


class _Held(torch.Tensor):
    """A tensor on a pretended accelerator; its values are those of a tensor on the CPU."""

    @staticmethod
    def __new__(cls, held: torch.Tensor, device: torch.device) -> _Held:
        return torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            device=device,
        )  # fmt: skip

    def __init__(self, held: torch.Tensor, device: torch.device) -> None:
        self.held = held

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: object, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


class _Computed(TorchDispatchMode):
    """Operations that are told a device, rather than a tensor that is on one."""

    def __torch_dispatch__(self, func: Any, types: object, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


class _Made(TorchFunctionMode):
    """Tensors made of numbers, and numbers of tensors, which torch makes beside its operations."""

    def __torch_function__(self, func: Any, types: object, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        if func in (torch.Tensor.data_ptr, torch.Tensor.tolist):  # accelerate knows tied tensors by the former
            return func(_values(args[0]))
        given = dict(kwargs or {})
        where = given.pop("device", None) if func in (torch.tensor, torch.as_tensor) else None
        made = func(*args, **given)
        return made if where is None else made.to(where)


def _computed(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    if func._can_decompose():
        with _Computed():
            return func.decompose(*args, **kwargs)
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    # a number may come from anywhere
    devices = {t.device for t in tensors if t.dim()} or {t.device for t in tensors if isinstance(t, _Held)}
    if len(devices) > 1 and func is not _CROSSES:
        raise RuntimeError(f"Expected all tensors to be on the same device; {func} got {devices}")
    own = tensors[0].device if func is _CROSSES else next(iter(devices), torch.device("cpu"))
    where = torch.device(kwargs.get("device") or own)
    if where.type == NAME and kwargs.get("device") is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    known = {id(t.held): t for t in tensors if isinstance(t, _Held)}
    found = func(*tree_map(_values, args), **tree_map(_values, kwargs))

    def placed(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or where.type != NAME:
            return value
        if id(value) in known:  # changed in place
            return known[id(value)]
        return _Held(value, torch.device(NAME, where.index or 0))

    return tree_map(placed, found)


def _values(value: Any) -> Any:
    return value.held if isinstance(value, _Held) else value
