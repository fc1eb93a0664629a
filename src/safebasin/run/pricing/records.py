"""The nouns of a price."""

from __future__ import annotations

from dataclasses import dataclass

from safebasin.models.sizes import ModelSizes

__all__ = ["FORMULA", "Lengths", "Memory", "Price", "Probed", "Quote", "Work"]

FORMULA = (
    "seconds = FLOPs / (C × peak FLOP/s) + bytes / (B × bandwidth)",
    "FLOPs = 2 × parameters × tokens + 4 × layers × heads × head width × tokens × tokens before each",
    "bytes = passes × weights + tokens × cache before each + points × weights × (2 + 4 / bytes of a weight × axes),"
    " ten times that where a direction is drawn",
)
"""How a price is made, a line each. Nothing is taken to overlap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Tokens of prompts and answers, as they are expected."""

    prompt: float
    """Mean tokens of a prompt as the model is given it."""
    shared: float
    """Of these, those that all prompts of a batch begin with, which are read once."""
    answer: float
    """Mean tokens of an answer under the stop rule."""
    passes: float
    """Passes that decode a batch: as many as its longest answer has tokens; of a probe, as many as its time was."""
    scored: float = 0.43
    """Share of an answer's tokens that judges need scored; where none was seen, as the real model's were."""
    said: tuple[str, ...]
    """Where they come from, in plain sentences."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The computing that is left."""

    read_tokens: int
    """Of prompts, at all points."""
    decoded_tokens: int
    """Of answers; the few hundred that calibrating the test of language decodes are in all but this."""
    scored_tokens: int
    """Read once more at θ₀, to score answers and to calibrate the test of language."""
    passes: int
    """That the weights are read for."""
    flops: float
    bytes_moved: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes that a run takes, in one dtype."""

    dtype: str
    weights: int
    """On the device that decodes."""
    origin: int
    """Of the copy of θ₀ in host memory; `--low-memory` reads the files instead."""
    directions: int
    """Of directions that are kept, float32, where memory is left for them."""
    row: int
    """Of a row that is decoded: its cache, with a margin, and logits."""
    cache: int
    """Of these, keys and values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """Hours and cost of one worker, on one device or on several."""

    name: str
    dtype: str
    memory_bytes: int
    """Of all its devices."""
    fits: bool
    devices: int = 1
    """That its model is spread over."""
    devices_needed: int = 1
    """The fewest that hold it."""
    batch: int
    """Rows decoded together; 0 where the model does not fit."""
    peak_flops: float
    """FLOP/s in that dtype."""
    bandwidth: float
    """Bytes/s."""
    compute_efficiency: float
    bandwidth_efficiency: float
    seconds: float | None
    """Expected; None where the model does not fit."""
    seconds_most: float | None
    """Where every answer goes on to `--max-new-tokens`."""
    price_per_hour: float | None
    """Of all its devices."""
    cost: float | None
    cost_most: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """The things that ten seconds on the machine at hand have shown."""

    device: str
    peak_flops: float
    """FLOP/s of a large matrix product."""
    bandwidth: float
    """Bytes/s of a plain copy, read and written."""
    compute_efficiency: float
    """Of the first, while the model reads prompts."""
    bandwidth_efficiency: float
    """Of the second, while it decodes."""
    lengths: Lengths
    start_seconds: float
    """Loading the model, and its first answer."""
    seconds: float
    """That the probe took, the model loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The cost of the rest of a study, before it is run."""

    model: ModelSizes
    expected: Work
    most: Work
    """Where every answer goes on to `--max-new-tokens`, and nothing that prompts share is spared."""
    memory: Memory
    """In the dtype of this machine."""
    said: tuple[str, ...]
    """What was assumed or measured, in plain sentences."""
    here: Quote | None
    """On this machine; None without a probe."""
    probed: Probed | None
    quotes: tuple[Quote, ...]
    advice: tuple[str, ...]
    """What to change where a model does not fit, in plain sentences."""
    formula: tuple[str, ...] = FORMULA
    sources: str = ""
    """Where the numbers of the accelerators are from."""
