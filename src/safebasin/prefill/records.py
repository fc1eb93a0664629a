"""What is found of one model, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from safebasin.records import Estimate

__all__ = ["BENIGN", "HARMFUL", "After", "Prefilled"]

HARMFUL = "harmful"
BENIGN = "benign"


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """The answers behind a forced beginning of some tokens."""

    tokens: int
    """Forced; 0 leaves the answer to the model."""
    refused: Estimate
    """Share in which what the model says itself, behind what is forced, is a refusal."""
    change: Estimate | None
    """That share minus the one with nothing forced, over the same requests; None at 0."""
    success: Estimate
    """Share in which the judge calls the whole answer, what is forced included, a success."""
    shorter: int
    """Requests left out: what is to be forced on them has fewer tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefilled:
    """A model under forced beginnings."""

    model: str
    fingerprint: str
    judge: str
    system: str
    text: str | None
    """The text that all answers begin with; None where each begins with its own row's response."""
    rows: Mapping[str, str]
    """Side → source and number of rows."""
    sides: Mapping[str, tuple[After, ...]]
    """`harmful`, whose refusal is wanted, and `benign`, whose refusal is over-refusal; by tokens, ascending."""
    notes: tuple[str, ...] = ()
