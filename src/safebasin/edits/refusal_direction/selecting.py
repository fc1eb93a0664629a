"""The published rule that chooses one direction among candidates (Arditi et al. 2024, Appendix C). Pure; no model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from safebasin.errors import ModelError, expected

__all__ = ["Candidate", "Rule", "kept", "select"]

Rule = Literal["paper", "lowest"]
"""Which candidates are allowed: `paper`, as published; `lowest`, all of them, so that there always is one."""

_MOST_KL = 0.1
_LEAST_STEERING = 0.0
_LAYERS = 0.8
"""Share of the layers, from the first on, that a direction may be of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A difference of means at one position and layer, and what it does on held-out prompts."""

    position: int
    """Counted from the end of the prompt: −1 is its last token."""
    layer: int
    """At whose input, from 0."""
    ablation: float
    """Refusal score (log-odds) of harmful prompts without it: the lower the better."""
    steering: float
    """Refusal score of harmless prompts with it added."""
    kl: float
    """Mean KL divergence of the next token of harmless prompts without it from that with it, in nats."""


def kept(candidates: Sequence[Candidate], n_layers: int, rule: Rule = "paper") -> tuple[Candidate, ...]:
    """Keep those that the rule allows, best first: l < ⌊0.8 L⌋, KL ≤ 0.1, steering ≥ 0, nothing NaN; by lowest
    ablation. `lowest` allows whatever has an ablation score.
    """
    allowed = [
        c
        for c in candidates
        if not math.isnan(c.ablation)
        and (
            rule == "lowest"
            or (
                c.layer < math.floor(_LAYERS * n_layers)
                and c.kl <= _MOST_KL  # false for NaN
                and c.steering >= _LEAST_STEERING
            )
        )
    ]
    return tuple(sorted(allowed, key=lambda c: c.ablation))


def select(candidates: Sequence[Candidate], n_layers: int, rule: Rule = "paper") -> Candidate:
    """The candidate that is taken.

    Raises:
        ModelError: where the rule allows none.
    """
    found = kept(candidates, n_layers, rule)
    if not found:
        remedy = "Its refusals rest on no one direction: see `safebasin attribute`, take more prompts, or rule=lowest."
        constraint = "one with KL ≤ 0.1 and steering ≥ 0 in the first 80 % of the layers"
        raise ModelError(expected("a refusal direction", constraint, f"none of {len(candidates)}", remedy))
    return found[0]
