"""The seams of weights: θ₀ as it is read, directions, and what a direction becomes for one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from safebasin.records import DirectionSpec

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightBlock:
    """Rows `start:stop` (axis 0) of one tensor at a point, in the engine's dtype. Scalars count as one row."""

    name: str
    start: int
    stop: int
    values: torch.Tensor
    """Shape (stop − start, …), or the scalar's own shape."""


class BaseWeights(Protocol):
    """θ₀: read-only tensors under canonical names, those of `named_parameters()` of the loaded module."""

    @property
    def names(self) -> Sequence[str]:
        """Canonical names in module order, each unique tensor once."""
        ...

    def shape(self, name: str) -> tuple[int, ...]: ...

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows `start:stop` in the stored dtype, never to be written to. A scalar's only row is itself."""
        ...

    def excluded(self) -> Mapping[str, str]:
        """Names that random directions leave alone, each with the reason (norm layer, not floating point)."""
        ...


class Delta(Protocol):
    """A direction prepared for one model: blocks of d̂ on demand, the same whatever the order of asking."""

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        """Rows `start:stop` of d̂ in float32 (float64 for differences of checkpoints), or None to leave it alone.

        They may be asked for again, and need not be made anew: never to be written to.
        """
        ...


class Direction(Protocol):
    """A recipe that can be prepared. Deterministic per recipe, finite, of the norm that its normalization says.

    Arguments that it takes are those of its class. It need not read `spec.orthogonal_to`: what it returns is made
    orthogonal afterwards.
    """

    def prepare(self, spec: DirectionSpec, base: BaseWeights) -> Delta:
        """Compute whole-model scalars once; must not keep a copy of the model.

        Raises:
            ModelError: where the target does not fit the base (names, shapes, tokenizer).
        """
        ...


@runtime_checkable
class IdentifiedDirection(Direction, Protocol):
    """A direction whose target is a text of its own, and that says what the text comes to."""

    def identity(self, spec: DirectionSpec) -> str:
        """By what the target is known in keys: with it changes whatever the direction makes of the same text.

        Raises:
            StudyError: where it is no target of this direction.
        """
        ...
