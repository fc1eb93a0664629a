"""The nouns of safebasin: frozen records that flow one way. No input or output, no torch, no randomness.

    ModelRef, DirectionSpec, Axis → Region → Point ; Image → Message → Prompt, System ; Decoding
    → Response → Score, Verdict → Estimate → Panel → Landscape ; Manifest beside them

Identity is content: `Point.key`, `Prompt.id`, `System.id` and `Decoding.key` are hashes of canonical JSON, so a wider
grid, more prompts or another judge find what already exists. A key never depends on where or how fast something ran,
nor on fields that came after version 1 and are at their default (`identity`).

    conversation  what is asked and how, what came back, and what a judge made of it
    geometry      places in weight space: the model, directions from it, lines and planes along them, points
    identity      content keys: what is equal has the same key, and new fields re-key nothing
    language      the calibrated test of language of one model: a threshold, and what it came from
    results       estimates, the points and panels of a landscape, and the manifest beside them
    training      a row as it is trained on: tokens, and which of them are learned as what
"""

from __future__ import annotations

from safebasin.records.conversation import (
    NO_REPLY,
    OUTCOMES,
    Decoding,
    FinishReason,
    Image,
    Message,
    Opinion,
    Prompt,
    Response,
    Score,
    System,
    TrainingRow,
    Verdict,
    Wording,
)
from safebasin.records.geometry import (
    NOISE_VERSION,
    SIDES,
    Axis,
    DirectionSpec,
    ModelRef,
    Place,
    Point,
    Region,
    matches,
)
from safebasin.records.identity import (
    LATER,
    Scalar,
    canonical_json,
    content_hash,
    content_of,
    key_of,
)
from safebasin.records.language import LanguageTest
from safebasin.records.results import (
    Cell,
    Comparison,
    Estimate,
    ExactCheck,
    FastMode,
    Landscape,
    LeftOut,
    Manifest,
    Measurement,
    Panel,
    Trajectory,
    TrajectoryPlace,
    incoherent_share,
)
from safebasin.records.training import IGNORED, EncodedRow

__all__ = [
    "IGNORED",
    "LATER",
    "NOISE_VERSION",
    "NO_REPLY",
    "OUTCOMES",
    "SIDES",
    "Axis",
    "Cell",
    "Comparison",
    "Decoding",
    "DirectionSpec",
    "EncodedRow",
    "Estimate",
    "ExactCheck",
    "FastMode",
    "FinishReason",
    "Image",
    "Landscape",
    "LanguageTest",
    "LeftOut",
    "Manifest",
    "Measurement",
    "Message",
    "ModelRef",
    "Opinion",
    "Panel",
    "Place",
    "Point",
    "Prompt",
    "Region",
    "Response",
    "Scalar",
    "Score",
    "System",
    "TrainingRow",
    "Trajectory",
    "TrajectoryPlace",
    "Verdict",
    "Wording",
    "canonical_json",
    "content_hash",
    "content_of",
    "incoherent_share",
    "key_of",
    "matches",
]
