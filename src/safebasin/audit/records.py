"""What an audit found, as frozen records that become `verdict.json` one to one. No arithmetic, no text of any response.

The schema of the document is `verdict.schema.json` beside this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from safebasin.records import Estimate
from safebasin.stats.gate import Decision

__all__ = [
    "AuditVerdict",
    "BasinDrop",
    "Change",
    "Condition",
    "Floor",
    "Headroom",
    "Line",
    "Metric",
    "Model",
    "PromptsUsed",
]

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One of the two models."""

    model: str
    """As the user wrote it."""
    fingerprint: str
    kind: str
    """`checkpoint`, `adapter`, `quantized` or `other`."""
    unsafe: bool = False
    """Whether its own record says that an attack made it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptsUsed:
    """A set of prompts that both models were asked."""

    name: str
    """`harmful`, `benign` or `borderline`."""
    source: str
    n: int
    hash: str
    """Content hash of the prompts' ids, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One thing that was compared, and what the gate says of it."""

    name: str
    """`asr`, `asr_outcome`, `over_refusal`, `capability`, `margin`, `radius`, `asr/CATEGORY`, `asr:JUDGE`."""
    prompts: str
    """Name of the prompt set."""
    judge: str
    base: Estimate
    tuned: Estimate
    difference: Estimate
    """How much worse the tuned model is: above 0 is worse, whatever the metric. Bounds are one-sided at 95 %."""
    limit: float | None
    """Non-inferiority margin; None where the policy has none, and the metric decides nothing."""
    decision: Decision | None
    advice: str = ""
    more_prompts: int | None = None
    gained: int | None = None
    """Prompts that turned bad."""
    lost: int | None = None
    """Prompts that were bad and are not any more."""
    p: float | None = None
    """Exact McNemar, two-sided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """A share that must be reached for a pass to mean anything."""

    name: str
    """`base_answers`, `base_refuses`, `tuned_speaks`."""
    prompts: str
    judge: str
    share: Estimate
    """With a one-sided lower bound; what is not scored counts as not reached."""
    floor: float
    met: bool
    """Whether the lower bound reaches it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A prompt whose outcome changed, by id: no text."""

    prompts: str
    id: str
    category: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """The two models under one system prompt and one template."""

    system: str
    template: str
    """`base`, `own`, or template arguments `K=V`."""
    decision: Decision | None
    """None where the policy limits nothing that is measured here."""
    metrics: tuple[Metric, ...]
    outcomes: Mapping[str, Mapping[str, Mapping[str, int]]]
    """Prompt set → `base`/`tuned` → counts by outcome."""
    changes: tuple[Change, ...] = ()
    floors: tuple[Floor, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Headroom:
    """The distance beyond the tuned model at which ASR reaches one half on the line from the base through it."""

    judge: str
    value: float | None
    """α* − 1; negative before the tuned model. None where it is not defined."""
    censored: bool
    """Whether ASR never gets there on the measured line: the value is then a lower bound."""
    low: float | None = None
    high: float | None = None
    """Its 95 % interval over prompts, of the line as interpolated; None where none is claimed."""
    between: tuple[float, float] | None = None
    """The two measured α between which ASR gets there."""
    coarse: bool = False
    """Whether they are farther apart than the interval is wide: then the grid, not the prompts, says how little is
    known."""
    method: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Rates along the line from the base (α = 0) through the tuned model (α = 1)."""

    alphas: tuple[float, ...]
    rates: Mapping[str, tuple[Estimate, ...]]
    """`asr`, `asr_outcome` → one rate for each α; other prompts are asked at α = 0 and 1 alone."""
    headroom: tuple[Headroom, ...]
    identical: bool
    """Whether the two models have the same weights, so that there is no line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BasinDrop:
    """Random directions around each of the two."""

    directions: int
    range: tuple[float, float]
    metrics: tuple[Metric, ...]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AuditVerdict:
    """The document `verdict.json`."""

    schema_version: int = SCHEMA_VERSION
    decision: Decision
    exit_code: int
    reason: str
    """The decision in a sentence or two."""
    depends: str
    """Whether the decision depends on system prompt and template, in a sentence; empty where there was one of each."""
    created: str
    """UTC, ISO 8601."""
    version: str
    """Of safebasin."""
    base: Model
    tuned: Model
    policy: Mapping[str, object]
    """`source`, `level` (of each bound, one-sided), `limits`, `floors`, `cluster`, `look` and `agreement`."""
    sets: tuple[PromptsUsed, ...]
    judges: Mapping[str, str]
    """Name → version."""
    conditions: tuple[Condition, ...]
    line: Line | None = None
    distance: Mapping[str, object] | None = None
    """`relative`, `n_tensors`, `n_tensors_total`, and `blocks` of `name`, `relative`, `share`."""
    basin: BasinDrop | None = None
    notes: tuple[str, ...] = field(default_factory=tuple[str, ...])

    def __repr__(self) -> str:
        """A screen of it: the decision with its reason, and what was compared under each system prompt and template."""
        lines = [f"audit: {self.decision}. {self.reason}", f"base {self.base.model} → tuned {self.tuned.model}"]
        for condition in self.conditions[:_CONDITIONS]:
            lines.append(f"system {condition.system}, template {condition.template}: {condition.decision or '–'}")
            metrics = [metric for metric in condition.metrics if metric.limit is not None]
            lines += [_words(metric) for metric in metrics[:_METRICS]]
        left = len(self.conditions) - _CONDITIONS
        return "\n".join([*lines, *([f"… {left} more"] if left > 0 else [])])


_CONDITIONS, _METRICS = 3, 8
"""What a repr shows at most."""


def _words(metric: Metric) -> str:
    worse = f"worse by {metric.difference.words()}, limit {metric.limit:g}"
    return f"  {metric.name:<16} {metric.prompts:<12} {worse:<48} {metric.decision or '–'}"
