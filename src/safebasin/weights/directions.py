"""Directions: recipes that become blocks of d̂ on demand. Never files, never a second copy of the model.

`Random` (Peng et al. 2024, §3) is here: Gaussian noise, scaled to the weights. Those that come from other files are in
`checkpoints`, quantization in `quantize`, factors in `scaling`. Whole-model scalars (norms, inner products) are
computed once in `prepare`, in float64.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

import psutil
import torch
from pydantic import Field

from safebasin.errors import StudyError, expected
from safebasin.protocols import BaseWeights, Delta
from safebasin.records import DirectionSpec
from safebasin.weights import accelerated, philox
from safebasin.weights.base import MappedWeights
from safebasin.weights.checkpoints import Adapter, TaskVector, ToCheckpoint
from safebasin.weights.kept import KeptRows
from safebasin.weights.layout import is_fused_experts
from safebasin.weights.noise import VERSIONS, elements
from safebasin.weights.quantize import Quantized
from safebasin.weights.scaling import Scaled
from safebasin.weights.selection import inner, matches, selected
from safebasin.weights.stream import direction_of, prepare_one

__all__ = ["Adapter", "Quantized", "Random", "Scaled", "TaskVector", "ToCheckpoint", "is_fused_experts"]

NORMALIZATIONS = ("layer", "filter", "model", "none")

_ROUNDING = 1e-10
"""Squared norm of standard normal noise, of few elements too, below which it is what rounding left of it."""
_NOISE_SHARE = 0.15
"""Share of the available memory that rows of d̂ may stay in, so that a sweep makes them once."""

_LOW_MEMORY_SHARE = 0.03
"""The same as a share of the weights, where these stay in their files to save memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomDelta:
    """Noise, made orthogonal to other directions, then scaled."""

    spec: DirectionSpec
    base: BaseWeights
    kept_rows: KeptRows
    density: float = 1.0
    factors: Mapping[str, torch.Tensor] = field(default_factory=dict[str, torch.Tensor])
    """What each tensor that moves is multiplied by: a scalar, or one number for each row of axis 0. Float32."""
    others: tuple[tuple[Delta, Mapping[str, torch.Tensor]], ...] = ()
    """Directions to be taken out, each with its coefficients (shaped like `factors`, float64), in order."""
    kept: tuple[str, ...] = ()
    """Tensors in which there is one element to a norm: nothing is orthogonal to it, so it keeps its draw."""

    def raw(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows of the noise before scaling, other directions taken out. Float32, perhaps kept: never write to it."""
        key = self._key(name, start, stop)
        noise = self.kept_rows.get(key)
        if noise is None:
            noise = self._drawn(name, start, stop)
            self.kept_rows.put(key, noise)
        return self._without_others(noise, name, start, stop)

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        """Rows of d̂ in float32, or None where the tensor does not move. Perhaps kept: never write to it."""
        if name not in self.factors:
            return None
        key = (self.spec, name, start, stop)
        rows = self.kept_rows.get(key)
        if rows is None:
            noise = self.kept_rows.take(self._key(name, start, stop))  # d̂ takes its place
            noise = self._drawn(name, start, stop) if noise is None else noise
            rows = self._without_others(noise, name, start, stop)
            rows.mul_(_spread(self.factors[name], start, stop, rows))
            self.kept_rows.put(key, rows)
        return rows

    @property
    def is_drawn_anywhere(self) -> bool:
        """True where a device draws the same bits; not where other directions are taken out, nor in version 1."""
        return not self.others and self.spec.version == philox.VERSION

    def rows_on(self, device: torch.device, name: str, start: int, stop: int) -> torch.Tensor | None:
        """The same rows, drawn on a device; only where `is_drawn_anywhere`."""
        if name not in self.factors:
            return None
        shape = self.base.shape(name)
        width = math.prod(shape[1:])
        drawn = accelerated.elements(
            self.spec.seed, self.spec.index, name, start * width, stop * width, device=device, density=self.density
        )
        rows = drawn.reshape((stop - start, *shape[1:]) if shape else ())
        return rows.mul_(_spread(self.factors[name], start, stop, rows).to(device))

    def _key(self, name: str, start: int, stop: int) -> Hashable:
        """Under what noise is kept before anything is done to it."""
        return self.spec.version, self.spec.seed, self.spec.index, self.density, name, start, stop

    def _drawn(self, name: str, start: int, stop: int) -> torch.Tensor:
        shape = self.base.shape(name)
        width = math.prod(shape[1:])
        drawn = elements(
            self.spec.seed, self.spec.index, name, start * width, stop * width,
            version=self.spec.version, density=self.density, threads=torch.get_num_threads(),
        )  # fmt: skip
        return torch.from_numpy(drawn).reshape((stop - start, *shape[1:]) if shape else ())

    def _without_others(self, rows: torch.Tensor, name: str, start: int, stop: int) -> torch.Tensor:
        """Noise with other directions taken out: itself where there are none in this tensor, else new."""
        for delta, coefficients in self.others:
            other = delta.rows(name, start, stop) if name in coefficients else None
            if other is not None:
                rows = (rows.double() - _spread(coefficients[name], start, stop, rows) * other.double()).float()
        return rows


def _spread(numbers: torch.Tensor, start: int, stop: int, rows: torch.Tensor) -> torch.Tensor:
    """A scalar, or numbers for each row, so that they multiply rows."""
    return numbers if numbers.dim() == 0 else numbers[start:stop].reshape(-1, *([1] * (rows.dim() - 1)))


@dataclass(frozen=True, slots=True)
class Random:
    """Gaussian direction, scaled as `spec.normalize` says.

    Args:
        density: the share of weights that move, each drawn by itself; 1 moves all of them, as published. What a sparse
            one moves, it moves by more: the norm is that of a dense one. A tensor or row of which it moves none stays.

    `layer`: d̂ = d/‖d‖·‖θ‖ for each tensor, and for each expert where a tensor holds all experts of a layer. `filter`:
    for each row of axis 0, vectors as `layer`. `model`: one factor for the whole. `none`: as drawn, N(0, 1).
    With `orthogonal_to` it is made orthogonal tensor by tensor (row by row where it is scaled so) and scaled after
    that, so that ‖d̂‖ = ‖θ‖ still holds; tensors of one element cannot be orthogonal and are listed in `kept`.

    Deviations from the published code: parameters only, each unique tensor once, norm layers by type as well as by
    name, and a second direction that is orthogonal rather than nearly so.
    """

    density: Annotated[float, Field(gt=0, le=1)] = 1.0
    orthogonalizes: ClassVar[bool] = True

    def prepare(self, spec: DirectionSpec, base: BaseWeights) -> RandomDelta:
        """Compute norms, and coefficients of the directions to be taken out.

        Raises:
            StudyError: where the recipe names another version or normalization, moves nothing, or is to be orthogonal
                to itself.
        """
        return _prepare(spec, base, KeptRows(_budget(base)), self.density)


def _prepare(spec: DirectionSpec, base: BaseWeights, kept: KeptRows, density: float) -> RandomDelta:
    if spec.version not in VERSIONS:
        remedy = "Use the release of safebasin that made it."
        constraint = f"{' or '.join(map(str, VERSIONS))} in this release"
        raise StudyError(expected("noise version", constraint, spec.version, remedy))
    if spec.normalize not in NORMALIZATIONS:
        remedy = "Use layer, as the published landscapes do."
        raise StudyError(expected("normalize", f"one of {', '.join(NORMALIZATIONS)}", spec.normalize, remedy))
    names = selected(spec, base, drawn=True)
    _check_not_parallel(spec, names)
    delta = RandomDelta(spec=spec, base=base, kept_rows=kept, density=density)
    for other in spec.orthogonal_to:
        made = direction_of(other)
        # One budget for both: they are asked for in turn, block by block.
        first = _prepare(other, base, kept, made.density) if isinstance(made, Random) else prepare_one(other, base)
        delta = _orthogonal(delta, first, names)
    return replace(delta, factors=_factors(delta, names))


def _check_not_parallel(spec: DirectionSpec, names: tuple[str, ...]) -> None:
    """The same draw twice leaves rounding, which scaling would blow up to the norm of the weights."""
    for other in spec.orthogonal_to:
        is_same_draw = all(getattr(other, key) == getattr(spec, key) for key in ("kind", "args", "seed", "index"))
        if is_same_draw and any(matches(name, other.only) for name in names):
            remedy = "Give the second another seed or index."
            raise StudyError(expected("directions of a plane", "not parallel", f"{spec.label()} twice", remedy))


def _budget(base: BaseWeights) -> int:
    share = int(_NOISE_SHARE * psutil.virtual_memory().available)
    return min(share, int(_LOW_MEMORY_SHARE * base.n_bytes)) if isinstance(base, MappedWeights) else share


def _by_rows(spec: DirectionSpec, name: str, shape: tuple[int, ...]) -> bool:
    """Whether each row of axis 0 has its own norm."""
    is_experts = spec.normalize in ("layer", "filter") and is_fused_experts(name, shape)
    return is_experts or (spec.normalize == "filter" and len(shape) > 1)


def _orthogonal(delta: RandomDelta, other: Delta, names: tuple[str, ...]) -> RandomDelta:
    base = delta.base

    def other_rows(name: str, start: int, stop: int) -> torch.Tensor:
        found = other.rows(name, start, stop)
        return torch.zeros(stop - start, 1) if found is None else found

    coefficients: dict[str, torch.Tensor] = {}
    kept: list[str] = []
    for name in names:
        shape = base.shape(name)
        by_rows = _by_rows(delta.spec, name, shape)
        if math.prod(shape[1:] if by_rows else shape) == 1:
            kept.append(name)
        elif other.rows(name, 0, 1) is not None:
            square = inner(base, name, other_rows, by_rows=by_rows)
            cross = inner(base, name, delta.raw, other_rows, by_rows=by_rows)
            coefficients[name] = torch.where(square > 0, cross / square, 0.0)
    return replace(delta, others=(*delta.others, (other, coefficients)), kept=tuple(kept))


def _factors(delta: RandomDelta, names: tuple[str, ...]) -> dict[str, torch.Tensor]:
    spec, base = delta.spec, delta.base
    if spec.normalize == "none":
        return dict.fromkeys(names, torch.tensor(1.0))
    if spec.normalize == "model":
        drawn = math.fsum(float(inner(base, n, delta.raw)) for n in names)
        held = math.fsum(float(inner(base, n, base.rows)) for n in names)
        return dict.fromkeys(names, torch.tensor(math.sqrt(held / drawn)))
    # Of sparse noise a row may hold nothing but what the first direction of a plane holds there: rounding stays put.
    least = 0.0 if delta.density == 1 else _ROUNDING
    factors: dict[str, torch.Tensor] = {}
    for name in names:
        by_rows = _by_rows(spec, name, base.shape(name))
        drawn = inner(base, name, delta.raw, by_rows=by_rows)
        held = inner(base, name, base.rows, by_rows=by_rows)
        factors[name] = torch.where(drawn > least, (held / drawn).sqrt(), 0.0).float()
    return factors
