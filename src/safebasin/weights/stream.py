"""The weights at a point, as a stream of row blocks: θ₀ + Σ αᵢ·d̂ᵢ, each block computed from pristine tensors.

Never added in place: in bfloat16 one add-then-subtract at α = 0.5 changes a quarter of the weights. Random terms are
summed in float32, differences of checkpoints in float64, then there is one cast. So a point is the same alone or in a
sweep, forwards or backwards, and α = 0 is θ₀ bit for bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Protocol, cast, runtime_checkable

import torch
from torch import nn

from safebasin import catalog
from safebasin.models.spreading import devices_of
from safebasin.protocols import BaseWeights, Delta, Direction, WeightBlock
from safebasin.records import DirectionSpec, Point
from safebasin.weights.accelerated import summed
from safebasin.weights.base import row_blocks
from safebasin.weights.planes import orthogonal
from safebasin.weights.resident import OnDevice, OnHost, free_bytes, pinnable_bytes

Terms = list[tuple[float, torch.Tensor]]
_SUMMED_ON = ("cuda",)
"""Kinds of device on which sums are made, rather than on the host."""
_NOWHERE: Mapping[torch.device, OnDevice] = MappingProxyType({})


@runtime_checkable
class Reaching(Protocol):
    """A direction that leads to tensors which α = 1 takes as they are."""

    def moves(self, name: str) -> bool: ...

    def reached(self, name: str, start: int, stop: int) -> torch.Tensor: ...


def prepare(specs: Iterable[DirectionSpec], base: BaseWeights) -> dict[DirectionSpec, Delta]:
    """Prepare directions for a model, through the catalogue.

    Raises:
        UsageError: where a direction is not known or its target does not fit.
    """
    return {spec: prepare_one(spec, base) for spec in dict.fromkeys(specs)}


def prepare_one(spec: DirectionSpec, base: BaseWeights) -> Delta:
    """Prepare one direction for a model, orthogonal to those that its recipe names."""
    direction = direction_of(spec)
    if not spec.orthogonal_to or does_it_itself(direction):
        return direction.prepare(spec, base)
    return orthogonal_to(direction, spec, base, [prepare_one(other, base) for other in spec.orthogonal_to])


def direction_of(spec: DirectionSpec) -> Direction:
    """The direction of the catalogue that a recipe names, with its arguments.

    Raises:
        UsageError: where it is not known, or does not take such arguments.
    """
    return cast("Direction", catalog.make(catalog.get("direction", spec.kind), dict(spec.args)))


def does_it_itself(direction: Direction) -> bool:
    """Tell whether a direction makes itself orthogonal to others as it is drawn; any other is made so afterwards."""
    return getattr(direction, "orthogonalizes", False)


def orthogonal_to(direction: Direction, spec: DirectionSpec, base: BaseWeights, others: Sequence[Delta]) -> Delta:
    """A direction made orthogonal to others that are prepared; see `planes`.

    Raises:
        ModelError: where it is parallel to them.
    """
    alone = direction.prepare(replace(spec, orthogonal_to=()), base)
    return orthogonal(alone, others, base, keeps_norm=spec.target is None)


def weights_at(base: BaseWeights, point: Point, deltas: Mapping[DirectionSpec, Delta]) -> Iterator[WeightBlock]:
    """Yield every parameter at a point, in row blocks of at most 64 MB, in the dtype of θ₀.

    Args:
        base: θ₀.
        point: where.
        deltas: its directions, prepared.
    """
    for name in base.names:
        for start, stop in row_blocks(base.shape(name)):
            yield WeightBlock(name=name, start=start, stop=stop, values=rows_at(base, point, deltas, name, start, stop))


def rows_at(
    base: BaseWeights, point: Point, deltas: Mapping[DirectionSpec, Delta], name: str, start: int, stop: int
) -> torch.Tensor:
    """Rows of one tensor at a point, in the dtype of θ₀."""
    rows, terms = _parts(OnHost(base), point, deltas, name, start, stop)
    return summed(rows, terms, torch.empty(rows.shape, dtype=rows.dtype)) if terms else rows


def _parts(
    source: OnHost | OnDevice, point: Point, deltas: Mapping[DirectionSpec, Delta], name: str, start: int, stop: int
) -> tuple[torch.Tensor, Terms]:
    """The rows that a sum begins with, and what is added; nothing, where they are what the point has there."""
    rows = source.base_rows(name, start, stop)
    if len(point.terms) == 1:
        spec, alpha = point.terms[0]
        delta = deltas[spec]
        # α = 1 on a line to another checkpoint is that checkpoint: θ₀ + (θ₁ − θ₀) may miss it by a rounding.
        if alpha == 1 and isinstance(delta, Reaching) and delta.moves(name):
            return delta.reached(name, start, stop).to(rows.device, rows.dtype), []
    moves = [(alpha, source.delta_rows(deltas[spec], name, start, stop)) for spec, alpha in point.terms if alpha != 0]
    return rows, [(alpha, move) for alpha, move in moves if move is not None]


def write(
    base: BaseWeights,
    point: Point,
    deltas: Mapping[DirectionSpec, Delta],
    module: nn.Module,
    *,
    devices: Mapping[torch.device, OnDevice] = _NOWHERE,
) -> None:
    """Write the weights at a point into the parameters of a module, tied ones with them, without a copy in between.

    Args:
        base: θ₀.
        point: where.
        deltas: its directions, prepared.
        module: each of its parameters is on any device.
        devices: what of θ₀ and d̂ is on a device, where sums are made there; those of any other are made on the host.
    """
    host = OnHost(base)
    parameters = dict(module.named_parameters())
    with torch.no_grad():
        for name in base.names:
            whole = parameters[name].detach()
            source = devices.get(whole.device, host)
            for start, stop in row_blocks(base.shape(name)):
                target = whole if whole.dim() == 0 else whole[start:stop]
                rows, terms = _parts(source, point, deltas, name, start, stop)
                if terms and target.is_contiguous() and (target.device, target.dtype) == (rows.device, rows.dtype):
                    summed(rows, terms, target)
                else:
                    target.copy_(summed(rows, terms, torch.empty_like(rows)) if terms else rows)


def tensors_at(
    base: BaseWeights, point: Point, deltas: Mapping[DirectionSpec, Delta]
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every parameter at a point as a whole, in the dtype of θ₀: for what loads tensors by name.

    Args:
        base: θ₀.
        point: where.
        deltas: its directions, prepared.
    """
    for name in base.names:
        blocks = [rows_at(base, point, deltas, name, start, stop) for start, stop in row_blocks(base.shape(name))]
        yield name, blocks[0] if len(blocks) == 1 else torch.cat(blocks)


class Mover:
    """The weights of one point after another: prepares a direction once, and keeps what the next point needs.

    Args:
        base: θ₀, only read.
    """

    def __init__(self, base: BaseWeights) -> None:
        self._base = base
        self._deltas: dict[DirectionSpec, Delta] = {}
        self._on_devices: dict[torch.device, OnDevice] = {}

    def write(self, point: Point, module: nn.Module) -> None:
        """Write the weights at a point into a module (`write`); on CUDA each tensor is summed where it lies.

        Raises:
            UsageError: as `blocks`.
        """
        deltas = self._prepared(point)
        used = [device for device in devices_of(module) if device.type in _SUMMED_ON]
        for device in used:
            if device not in self._on_devices:
                pinned = pinnable_bytes(self._base) // len(used)
                there = OnDevice(self._base, device, budget_bytes=free_bytes(device), pinned_bytes=pinned)
                self._on_devices[device] = there
        write(self._base, point, deltas, module, devices=self._on_devices)

    def blocks(self, point: Point) -> Iterator[WeightBlock]:
        """The weights at a point, in row blocks (`weights_at`).

        Raises:
            UsageError: where a direction is not known or does not fit; before the first block.
        """
        return weights_at(self._base, point, self._prepared(point))

    def tensors(self, point: Point) -> Iterator[tuple[str, torch.Tensor]]:
        """The weights at a point, in whole tensors (`tensors_at`).

        Raises:
            UsageError: as `blocks`.
        """
        return tensors_at(self._base, point, self._prepared(point))

    def _prepared(self, point: Point) -> Mapping[DirectionSpec, Delta]:
        wanted = {spec for spec, _ in point.terms}
        if wanted:  # θ₀ needs none, but what comes after it may need the last ones
            if not self._deltas.keys() <= wanted:
                self._on_devices = {}  # rows of a direction that is let go of make room for those of the next
            self._deltas = {spec: delta for spec, delta in self._deltas.items() if spec in wanted}
        self._deltas |= prepare([spec for spec in wanted if spec not in self._deltas], self._base)
        return self._deltas


def apply(stream: Iterable[WeightBlock], module: nn.Module) -> None:
    """Write a stream into the parameters of a module, tied ones with them."""
    parameters = dict(module.named_parameters())
    with torch.no_grad():
        for block in stream:
            target = parameters[block.name]
            (target if target.dim() == 0 else target[block.start : block.stop]).copy_(block.values)


def digest(stream: Iterable[WeightBlock]) -> str:
    """SHA-256 over names, shapes and bytes of a stream: equal exactly where the weights are equal bit for bit."""
    total = hashlib.sha256()
    for block in stream:
        total.update(f"{block.name}\0{block.start}\0{tuple(block.values.shape)}\0{block.values.dtype}".encode())
        flat = block.values.detach().cpu().reshape(-1).contiguous()
        total.update(flat.view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
