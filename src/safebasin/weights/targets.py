"""The target of a direction: what its text says (a scheme, an adapter, one model or two), and which it is. No torch."""

from __future__ import annotations

import hashlib

from safebasin.errors import StudyError, expected
from safebasin.models.folder import fingerprint, full_hash
from safebasin.models.reference import ResolvedModel, locate_adapter, resolve
from safebasin.records import DirectionSpec

__all__ = ["QUANT_VERSION", "SCHEMES", "quant_levels", "resolve_target", "task_models"]

SCHEMES = {"int8": 127, "int4": 7}
"""Scheme → the largest integer of its symmetric range, −levels … levels."""

QUANT_VERSION = 1
"""Version of `safebasin.weights.quantize`; part of the content key of a `quant` direction."""


def quant_levels(target: str | None) -> int:
    """The largest integer of a scheme.

    Raises:
        StudyError: where the scheme is not known.
    """
    if target not in SCHEMES:
        remedy = "Round a model in another way yourself, save it, and use to:FOLDER."
        raise StudyError(expected("target of quant", f"one of {', '.join(SCHEMES)}", target, remedy))
    return SCHEMES[target]


def task_models(target: str | None) -> tuple[str, str]:
    """The tuned model and the one it was tuned from, of `TUNED,BASE`.

    Raises:
        StudyError: where these are not two.
    """
    models = [model.strip() for model in (target or "").split(",")]
    if len(models) != 2 or not all(models):
        remedy = "Write task:TUNED,BASE; a folder whose name has a comma needs another name."
        raise StudyError(expected("target of task", "two models, TUNED,BASE", target, remedy))
    return models[0], models[1]


def resolve_target(spec: DirectionSpec) -> str:
    """Fingerprint of what a direction leads to, weights included: a folder whose weights changed is another direction.

    A hub repository is known by its commit; of any other checkpoint or adapter every byte is read. A quantization
    scheme is known by its levels and the version of the rounding.

    Raises:
        ModelError: where the target cannot be used.
        StudyError: where it is not a known scheme (`quant`), or not two models (`task`).
    """
    target = spec.target or ""
    if spec.kind == "quant":
        parts = [f"quant {quant_levels(target)} v{QUANT_VERSION}"]
    elif spec.kind == "adapter":
        folder = locate_adapter(target)
        parts = [fingerprint(folder), full_hash(folder)]
    else:
        models = task_models(target) if spec.kind == "task" else (target,)
        parts = [part for model in models for part in _identity(resolve(model))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _identity(resolved: ResolvedModel) -> list[str]:
    is_known = resolved.commit is not None and resolved.adapter is None
    weights = [] if is_known else [full_hash(resolved.folder, resolved.adapter)]
    return [resolved.fingerprint, resolved.commit or "", *weights]
