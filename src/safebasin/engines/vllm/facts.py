"""What the engine says of itself: its name, which is part of every key, and what the manifest tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from safebasin.engines.vllm.adapters import AT_ONCE, Adapters
from safebasin.protocols import UNMERGED, EngineFacts

__all__ = ["described", "unmerged"]

_OF_REFERENCE = ("attention", "device_name", "logit_rules", "prepacked", "threads")
"""Details of the reference engine that say nothing of this one."""


def described(
    facts: EngineFacts,
    version: str,
    device: str,
    invariant: bool,
    gpus: int,
    told: Mapping[str, object],
) -> EngineFacts:
    """Facts of the reference on the model, with this engine's own; versions decide responses, so they name it."""
    kept = {key: value for key, value in facts.details.items() if key not in _OF_REFERENCE}
    invariance = ", batch_invariant=true" if invariant else ""
    details = {
        **kept,
        "vllm": version,
        "prefix_caching": False,
        "tensor_parallel_size": gpus,
        **told,
    }
    return replace(
        facts, engine=f"vllm(version={version}{invariance})", device=device, batch_invariant=invariant, details=details
    )


def unmerged(facts: EngineFacts, adapters: Adapters) -> EngineFacts:
    """Facts of an engine that serves adapters beside the weights, by kernels of which no invariance is known."""
    name = facts.engine.replace(")", f", {UNMERGED})")
    return replace(facts, engine=name, unmerged=tuple(adapters.beside), at_once=AT_ONCE, batch_invariant=False)
