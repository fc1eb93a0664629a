"""What locating layers finds, as plain values that become JSON. No numbers are made here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from safebasin.records import Estimate

__all__ = ["KINDS", "Band", "Curves", "Located", "Scaled", "Scaling", "Sweep"]

KINDS = ("benign-benign", "harmful-harmful", "benign-harmful")
"""Kinds of pairs of prompts."""


@dataclass(frozen=True, slots=True, order=True)
class Band:
    """Layers first … last, both included, counted from 0."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Curves by layer from random pairs of prompts; every sequence has one entry a layer."""

    cosine: Mapping[str, tuple[float, ...]]
    """Kind of pairs → mean cosine of the two states."""
    spread: Mapping[str, tuple[float, ...]]
    """Kind of pairs → standard deviation of that cosine over pairs."""
    angle_gap: tuple[Estimate, ...]
    """Mean angle of benign-harmful pairs minus that of benign-benign pairs, in degrees (§3.2)."""
    rise: tuple[Estimate, ...]
    """Growth of the angle gap from the layer before, in degrees; of layer 0 the gap itself."""
    cosine_gap: tuple[float, ...]
    """Mean cosine of benign-benign pairs minus that of benign-harmful pairs."""
    contrast: tuple[Estimate, ...]
    """Mean angle of benign-harmful pairs minus the mean of those of benign-benign and of harmful-harmful pairs."""
    contrast_rise: tuple[Estimate, ...]
    """Growth of the contrast from the layer before, in degrees; of layer 0 the contrast itself."""

    @property
    def tells_topics(self) -> int:
        """In how many layers benign prompts surely lie farther from each other than from harmful ones.

        A set of many topics does: the angle gap then falls where the model tells topics, and says nothing of harm.
        """
        return sum(gap.high is not None and gap.high < 0 for gap in self.angle_gap)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """A candidate band, its weights times the factor: how many prompts that deserve an answer are refused."""

    band: Band
    refused: Estimate
    lead: Estimate | None
    """Share refused with the chosen band minus with this one, over the same prompts; None for the chosen one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Candidates that differ in one bound."""

    bound: str
    """`last` or `first`."""
    candidates: tuple[Scaled, ...]
    chosen: Band


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """The bounds by parameter scaling."""

    factor: float
    spread: float
    """Standard deviation over candidates of the share refused: what the factor is chosen by."""
    plain: Estimate
    """Share refused as the model is."""
    judge: str
    prompts: str
    sweeps: tuple[Sweep, ...]

    @property
    def band(self) -> Band:
        """That of the last sweep."""
        return self.sweeps[-1].chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """The layers of one model that tell harmful requests."""

    model: str
    fingerprint: str
    n_layers: int
    prompts: Mapping[str, str]
    """Role → source and number of prompts."""
    pairs: int
    seed: int
    curves: Curves
    bands: Mapping[str, Band | None]
    """Rule → its band, None where the rule finds none; the rule to believe first comes first."""
    scaling: Scaling | None
    control: Curves | None = None
    """The same of the model that it is compared with."""
    control_model: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def band(self) -> Band | None:
        """By scaling, else by the first rule that finds one; None where none does."""
        if self.scaling is not None:
            return self.scaling.band
        return next((band for band in self.bands.values() if band is not None), None)
