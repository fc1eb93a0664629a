"""How far a direction moves a model, in all and block by block, relative to the weights. Reads, never writes."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch

from safebasin.errors import StudyError
from safebasin.protocols import BaseWeights, Delta
from safebasin.weights.blocks import block_patterns
from safebasin.weights.layout import row_blocks
from safebasin.weights.selection import matches

__all__ = ["Distance", "Lengths", "Moved", "block_labels", "measure_distance", "measure_lengths", "whole_change"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """The distance by which one block moved."""

    name: str
    """`block 0`, …, or the module outside the blocks, such as `embed_tokens`."""
    relative: float
    """‖Δ‖ / ‖θ₀‖ over the block's parameters."""
    share: float
    """Its part of ‖Δ‖² over the whole model, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """The distance by which a model moved."""

    relative: float
    """‖Δ‖ / ‖θ₀‖ over all parameters."""
    n_tensors: int
    """Tensors that moved at all."""
    n_tensors_total: int
    blocks: tuple[Moved, ...]
    """In the order of the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """The distances by which a model moved in the tensors of a direction, and in all others; ‖·‖₂, not relative to
    anything.
    """

    inside: float
    outside: float


def whole_change(base: BaseWeights, delta: Delta, name: str) -> torch.Tensor | None:
    """A whole tensor of a direction, at α = 1; None where it leaves it alone."""
    rows = [delta.rows(name, start, stop) for start, stop in row_blocks(base.shape(name))]
    return torch.cat([part for part in rows if part is not None]) if all(r is not None for r in rows) else None


def measure_lengths(base: BaseWeights, delta: Delta, names: Collection[str]) -> Lengths:
    """Norms of a direction over some tensors and over the rest, summed in float64.

    Args:
        base: θ₀.
        delta: the direction, at α = 1.
        names: of the tensors inside.
    """
    squares: dict[bool, list[float]] = {True: [], False: []}
    for name in base.names:
        for start, stop in row_blocks(base.shape(name)):
            rows = delta.rows(name, start, stop)
            squares[name in names].append(0.0 if rows is None else float(rows.double().square().sum()))
    return Lengths(inside=math.sqrt(math.fsum(squares[True])), outside=math.sqrt(math.fsum(squares[False])))


def measure_distance(base: BaseWeights, delta: Delta) -> Distance:
    """Norms of a direction over the model and its blocks, relative to θ₀, summed in float64.

    Args:
        base: θ₀.
        delta: the direction, at α = 1.
    """
    label = block_labels(base.names)
    moved: dict[str, float] = {}
    held: dict[str, float] = {}
    n_tensors = 0
    for name in base.names:
        block, square = label(name), 0.0
        for start, stop in row_blocks(base.shape(name)):
            held[block] = held.get(block, 0.0) + float(base.rows(name, start, stop).double().square().sum())
            rows = delta.rows(name, start, stop)
            square += 0.0 if rows is None else float(rows.double().square().sum())
        moved[block] = moved.get(block, 0.0) + square
        n_tensors += square > 0
    whole = math.fsum(moved.values())
    return Distance(
        relative=_ratio(whole, math.fsum(held.values())),
        n_tensors=n_tensors,
        n_tensors_total=len(base.names),
        blocks=tuple(
            Moved(name=block, relative=_ratio(moved[block], held[block]), share=moved[block] / whole if whole else 0.0)
            for block in moved
        ),
    )


def _ratio(part: float, whole: float) -> float:
    return math.sqrt(part / whole) if whole > 0 else 0.0


def block_labels(names: Sequence[str]) -> Callable[[str], str]:
    """Give the function from a tensor's name to that of its block, or of its own module outside the blocks."""
    try:
        patterns = block_patterns(names, "block")
    except StudyError:
        patterns = ()  # a model without numbered blocks

    def label(name: str) -> str:
        module = name.removesuffix(".weight").removesuffix(".bias").rsplit(".", 1)[-1]
        return next((block for block, pattern in patterns if matches(name, pattern)), module)

    return label
