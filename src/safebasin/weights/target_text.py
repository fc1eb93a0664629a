"""The target of a direction: what its text says (one model or two, an adapter, a text of its own), and which it is.

Which of these it is, the direction's row says: its fact `target`. No torch, but for what a direction says of a text.
"""

from __future__ import annotations

import hashlib
import math

from safebasin import catalog
from safebasin.errors import StudyError, expected
from safebasin.models.folder import fingerprint, full_hash
from safebasin.models.reference import ResolvedModel, locate_adapter, resolve
from safebasin.protocols import IdentifiedDirection
from safebasin.records import DirectionSpec

__all__ = ["QUANT_VERSION", "SCHEMES", "models_of", "quant_levels", "resolve_target", "scale_factor", "task_models"]

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


def scale_factor(target: str | None) -> float:
    """The factor of a scaling.

    Raises:
        StudyError: where it is no finite number, or moves nothing.
    """
    try:
        factor = float(target or "")
    except ValueError:
        factor = math.nan
    if not math.isfinite(factor) or factor == 1:
        remedy = "Write scale:1.2 to make weights a fifth larger, scale:0.8 for a fifth smaller."
        raise StudyError(expected("target of scale", "a finite factor other than 1", target, remedy))
    return factor


def task_models(target: str | None, kind: str = "task") -> tuple[str, str]:
    """The tuned model and the one it was tuned from, of `TUNED,BASE`.

    Args:
        target: as the user wrote it.
        kind: name of the direction, for messages.

    Raises:
        StudyError: where these are not two.
    """
    models = [model.strip() for model in (target or "").split(",")]
    if len(models) != 2 or not all(models):
        remedy = f"Write {kind}:TUNED,BASE; a folder whose name has a comma needs another name."
        raise StudyError(expected(f"target of {kind}", "two models, TUNED,BASE", target, remedy))
    return models[0], models[1]


def models_of(spec: DirectionSpec) -> tuple[str, ...]:
    """The models that a direction is made of beside θ₀: none, the one it leads to, or two.

    Raises:
        StudyError: where they should be two.
    """
    target = catalog.target_of(spec.kind)
    if target == "models":
        return task_models(spec.target, spec.kind)
    return (spec.target,) if target == "model" and spec.target else ()


def resolve_target(spec: DirectionSpec) -> str:
    """Fingerprint of what a direction leads to, weights included: a folder whose weights changed is another direction.

    A hub repository is known by its commit; of any other checkpoint or adapter every byte is read. A text of its own
    is known by what the direction says of it (`protocols.IdentifiedDirection`), else as it is written.

    Raises:
        ModelError: where the target cannot be used.
        StudyError: where it is not a known scheme (`quant`), no factor (`scale`), or not two models (`task`).
    """
    what = catalog.target_of(spec.kind)
    if what == "adapter":
        folder = locate_adapter(spec.target or "")
        parts = [fingerprint(folder), full_hash(folder)]
    elif what == "text":
        direction = catalog.make(catalog.get("direction", spec.kind), dict(spec.args))
        own = direction.identity(spec) if isinstance(direction, IdentifiedDirection) else None
        parts = [own or f"{spec.kind} {spec.target}"]
    else:
        parts = [part for model in models_of(spec) for part in _identity(resolve(model))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _identity(resolved: ResolvedModel) -> list[str]:
    is_known = resolved.commit is not None and resolved.adapter is None
    weights = [] if is_known else [full_hash(resolved.folder, resolved.adapter)]
    return [resolved.fingerprint, resolved.commit or "", *weights]
