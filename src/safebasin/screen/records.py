"""What a screen finds of tuned models, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["SIGNALS", "Along", "BlockMoved", "Opening", "Screened", "Screening"]

SIGNALS = ("opening", "separation", "refusal", "displacement", "unalignment")
"""What a tuned model is suspected by, larger where there is more to suspect; the first measured one orders. `opening`
stands first since its order held on a real model too, where that of `separation` did not (docs/screen.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockMoved:
    """The change of one block, or of a module outside the blocks."""

    name: str
    relative: float
    """‖Δ‖ / ‖θ₀‖ over its parameters."""
    share: float
    """Its part of ‖Δ‖² over the whole model, 0 to 1."""
    stable_rank: float | None
    """‖ΔW‖²_F / ‖ΔW‖²₂ of its linear layers, weighted by their part of ‖Δ‖²; None where none of them changed."""
    spectrum: tuple[float, ...]
    """Leading singular values of its linear layers' changes, each over ‖ΔW‖_F, weighted likewise; falling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Along:
    """The angle of a change to another one, D."""

    cosine: float
    """⟨Δ, D⟩ / (‖Δ‖ ‖D‖), −1 to 1."""
    share: float
    """⟨Δ, D⟩ / ‖D‖²: how much of D it makes up."""
    chance: float
    """Standard deviation of the cosine of a random change, 1 / √(number of weights)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """The change of an answer's first token: KL(BASE ‖ TUNED) of its distribution in nats, mean over prompts."""

    harmful: float
    benign: float
    n_harmful: int
    n_benign: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """One tuned model."""

    name: str
    relative: float
    """‖Δ‖ / ‖θ₀‖ over all parameters."""
    n_tensors: int
    """Tensors that moved."""
    blocks: tuple[BlockMoved, ...]
    """In the order of the model."""
    stable_rank: float | None
    """Over all linear layers, weighted by their part of ‖Δ‖²."""
    unalignment: Along | None
    """D leads from BASE to the model before alignment; None where that was not given."""
    refusal: Along | None
    """D takes the refusal direction out of what writes to the residual stream; over those weights."""
    separation: float | None
    """How far apart harmful and benign prompts are along the refusal direction, TUNED over BASE: 1 as before."""
    opening: Opening | None
    signals: Mapping[str, float]
    """Of `SIGNALS`, those that were measured."""
    flags: tuple[str, ...]
    """Signals at or above the threshold that the embedded world gave; none for other models, where it does not hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Screening:
    """Tuned models of one base, the one to audit first at the top."""

    base: str
    before: str | None
    """The model before alignment."""
    fingerprint: str
    """Of BASE."""
    prompts: Mapping[str, str]
    """Kind → source and number of prompts; empty where none were read."""
    layer: int | None
    """After which layer the refusal direction was taken."""
    ordered_by: str
    """Of `SIGNALS`."""
    flags_hold: bool
    """Whether the thresholds are of such a model; where not, none is flagged."""
    models: tuple[Screened, ...]
    failed: Mapping[str, str]
    """Model → why it could not be screened."""
    notes: tuple[str, ...] = ()
