"""Scaling as a direction: what a factor on some weights moves. Does the model refuse more with these layers louder?

Parameter scaling of Li et al. 2025, arXiv 2408.17003, §3.2, where `only` names the layers. From θ₀ each time, so that
no bit is lost on the way back, as scaling in place loses them in bfloat16.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from safebasin.protocols import BaseWeights, Delta
from safebasin.records import DirectionSpec
from safebasin.weights.selection import selected
from safebasin.weights.target_text import scale_factor

__all__ = ["Scaled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _ScaledDelta:
    """(factor − 1)·θ₀ in float64."""

    base: BaseWeights
    factor: float
    names: frozenset[str]

    def moves(self, name: str) -> bool:
        """Whether α = 1 has to be factor·θ₀ bit for bit in this tensor."""
        return name in self.names

    def reached(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows of factor·θ₀, one cast to the dtype of θ₀."""
        rows = self.base.rows(name, start, stop)
        return (rows.double() * self.factor).to(rows.dtype)

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        """Rows of the difference, or None where a tensor is not scaled."""
        if not self.moves(name):
            return None
        return (self.factor - 1) * self.base.rows(name, start, stop).double()


class Scaled:
    """(factor − 1)·θ₀ on the tensors that `only` names, all of them if it names none; the target is the factor.

    Norm layers and biases are scaled as all else is: what is to stay is for `only` to leave out.
    """

    def prepare(self, spec: DirectionSpec, base: BaseWeights) -> Delta:
        """Find the tensors.

        Raises:
            StudyError: where the factor cannot be read, or `only` leaves no tensor.
        """
        names = frozenset(n for n in selected(spec, base, drawn=False) if base.rows(n, 0, 1).is_floating_point())
        return _ScaledDelta(base=base, factor=scale_factor(spec.target), names=names)

    def identity(self, spec: DirectionSpec) -> str:
        """The factor as a number, however it is written.

        Raises:
            StudyError: where it cannot be read.
        """
        return f"scale {scale_factor(spec.target)!r}"
