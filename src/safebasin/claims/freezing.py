"""What the claim of Li et al. measures: ten harmful examples while the located band of layers is frozen, or another.

The band is the one of the angle gap, located on prompts that nothing is measured on (`safebasin.locate`). The control
is every band of the same size that shares no layer with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from safebasin.claims.asking import answered, by_seed, difference, harmful, in_percent
from safebasin.claims.claim import Finding
from safebasin.claims.lab import Lab
from safebasin.errors import StudyError, expected
from safebasin.locate.layers import Asked, locate_layers
from safebasin.locate.records import Band
from safebasin.protocols import EngineSpec
from safebasin.stats.landscape import Array

__all__ = ["STATISTICS", "others"]


def located_band(lab: Lab) -> Finding:
    """The located band frozen, against others of its size."""
    lab.note("locating the layers that tell harmful requests")
    found = locate_layers(Asked(spec=EngineSpec(model=lab.subject.model, device="cpu"), no_scaling=True, seed=lab.seed))
    band = found.bands["angle"]
    controls = [] if band is None else others(band, found.n_layers)
    if band is None or not controls:
        remedy = "Locate the layers of a deeper model."
        constraint = "a band with room for another of its size"
        raise StudyError(expected("the located layers", constraint, str(band or "none"), remedy))
    prompts = harmful(lab)

    def frozen(layers: Band) -> Array:
        defenses = (f"sppft(layers={layers})",)
        models = [lab.tuned("frozen", seed=s, attack="harmful_examples", defenses=defenses) for s in lab.seeds]
        return answered([str(model) for model in models], prompts)

    kept, rest = frozen(band), [frozen(control) for control in controls]
    plain = [str(lab.tuned("harmful_examples", seed=s, attack="harmful_examples")) for s in lab.seeds]
    return Finding(
        estimate=difference(kept, np.mean(rest, axis=0)),
        details=(
            f"Located: layers {band} of {found.n_layers}, by the angle gap.",
            f"Answered with them frozen: {in_percent(kept)}. {by_seed(kept)}",
            *(f"With layers {c} frozen: {in_percent(one)}." for c, one in zip(controls, rest, strict=True)),
            f"With nothing frozen: {in_percent(answered(plain, prompts))}.",
        ),
    )


def others(band: Band, n_layers: int) -> list[Band]:
    """Every band of the same size that shares no layer with a band."""
    size = band.last - band.first
    every = [Band(first, first + size) for first in range(n_layers - size)]
    return [other for other in every if other.last < band.first or other.first > band.last]


STATISTICS: Mapping[str, Callable[[Lab], Finding]] = {located_band.__name__: located_band}
