"""What is found of a pair of models, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from safebasin.records import Estimate
from safebasin.stats.subspaces import Columns

__all__ = ["BENIGN", "HARMFUL", "LayerFound", "MatrixFound", "Mechanism", "Sensitivity", "Sides"]

BENIGN = "benign"
HARMFUL = "harmful"
Sides = Mapping[str, Estimate]
"""`benign` and `harmful` → the mean over the prompts of that kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFound:
    """The distance of the states after one layer."""

    layer: int
    base: Sides
    """τ of BASE (`separation`): benign prompts above 0 and harmful ones below, where the layer tells them apart."""
    tuned: Sides
    """τ of TUNED."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixFound:
    """The change of one matrix with more outputs than inputs."""

    name: str
    layer: int
    columns: Columns | None
    """Of the change beside the matrix of BASE; None where nothing changed."""
    control: Columns | None
    """Of the change that leads to the control."""
    firing: Sides
    """How strongly the change answers to what the matrix is given, of unit norm, in TUNED."""
    firing_gap: Estimate
    """Harmful minus benign."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """Norm of the gradient of the largest logit by the prompt's embeddings."""

    base: Sides
    tuned: Sides
    change: Sides
    """TUNED minus BASE, over the same prompts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mechanism:
    """A pair of models."""

    base: str
    tuned: str
    control: str | None
    fingerprint: str
    """Of BASE."""
    n_layers: int
    prompts: Mapping[str, str]
    """Kind → source and number of prompts."""
    seed: int
    layers: tuple[LayerFound, ...]
    matrices: tuple[MatrixFound, ...]
    sensitivity: Sensitivity | None
    notes: tuple[str, ...] = ()
