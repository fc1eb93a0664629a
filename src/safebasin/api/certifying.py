"""Certificates of a stored study, beside how far a tuned model has moved, in the same unit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safebasin.api.requests import checks_keywords
from safebasin.errors import ModelError, expected
from safebasin.items import path_of

if TYPE_CHECKING:
    from safebasin.landscape.certificates import CertifiedPanel
    from safebasin.weights.distance import Lengths

__all__ = ["CertifiedStudy", "certify_study"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifiedStudy:
    """Certificates of a stored study under noise on the model's weights. Radii and lengths are ‖·‖₂ over the weights
    with noise.
    """

    panels: tuple[CertifiedPanel, ...]
    n_weights: int
    """Weights with noise: noise of size σ has a length of about σ·√n_weights."""
    moved: Lengths | None = None
    """How far the tuned model lies from the study's in the weights with noise, and in others, of which a certificate
    says nothing; None where none was named."""


@checks_keywords
def certify_study(
    folder: str | Path,
    *,
    tuned: str | None = None,
    judge: str | None = None,
    tolerance: float = 0.1,
    level: float = 0.95,
) -> CertifiedStudy:
    """Certificates of a study whose directions are Gaussian noise (`normalize="none"`), computed from its rows.

    Args:
        folder: the study.
        tuned: a checkpoint, or the folder of an adapter for the study's model: how far it moved.
        judge: of the study, by name; that behind the panel's statistics if None.
        tolerance: by how much the share refused may fall under a draw of noise that counts as keeping it.
        level: of each lower bound, one-sided.

    Raises:
        UsageError: where the directions are no noise, nothing is refused, or the model is not what it was.
    """
    from safebasin.landscape.certificates import certify_panels, noise_of
    from safebasin.landscape.stored import StoredStudy
    from safebasin.landscape.tables import StudyTables
    from safebasin.models.reference import resolve
    from safebasin.store import folder as folders

    with StoredStudy.open(folders.require(path_of(folder))) as study:
        tables, known = StudyTables.read(study), study.store.meta("fingerprint")
    panels = certify_panels(tables, judge=judge, tolerance=tolerance, level=level)
    base = resolve(tables.plan.study.model)
    if known != base.fingerprint:
        remedy = "Restore the model that the study was made for."
        what = f"model {tables.plan.study.model!r}"
        raise ModelError(expected(what, f"of fingerprint {str(known)[:12]}", base.fingerprint[:12], remedy))
    _, spec = noise_of(tables.plan)
    n_weights, moved = _weights(base, spec, tuned)
    return CertifiedStudy(panels=panels, n_weights=n_weights, moved=moved)


def _weights(base: Any, spec: Any, tuned: str | None) -> tuple[int, Lengths | None]:
    """How many weights a direction moves, and how far a tuned model lies away in these and in the others."""
    import math

    from safebasin.edits.defended import find_tuned
    from safebasin.weights.adapters import load_merged, read_adapter
    from safebasin.weights.base import HostWeights
    from safebasin.weights.checkpoints import AdapterDelta, checkpoint_delta
    from safebasin.weights.distance import measure_lengths
    from safebasin.weights.selection import selected

    module: Any = load_merged(base)
    theta = HostWeights(module, folder=base.folder, copy=False)
    names = selected(spec, theta, drawn=True)
    n_weights = sum(math.prod(theta.shape(name)) for name in names)
    if tuned is None:
        return n_weights, None
    found = find_tuned(tuned, base)
    if isinstance(found, Path):
        delta = AdapterDelta(base=theta, adapter=read_adapter(found, theta.layout))
    else:
        delta = checkpoint_delta(found, theta)
    return n_weights, measure_lengths(theta, delta, frozenset(names))
