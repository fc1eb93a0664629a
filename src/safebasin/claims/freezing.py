"""What the claim of Li et al. measures: ten harmful examples while the located band of layers is frozen, or another.

The band is the one of the angle gap, located on prompts that nothing is measured on (`safebasin.locate`). The control
is every band of the same size that shares no layer with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from safebasin.claims.asking import answered, by_seed, difference, harmful, in_percent
from safebasin.claims.claim import Finding
from safebasin.claims.lab import Lab
from safebasin.errors import StudyError, expected
from safebasin.locate.layers import LocateRequest, locate_layers
from safebasin.locate.records import Band
from safebasin.protocols import EngineSpec
from safebasin.stats.landscape import Array

__all__ = ["STATISTICS", "others"]


_SLOW = 1e-4
"""A third of the attack's rate on worlds."""


def located_band(lab: Lab) -> Finding:
    """The located band frozen, against others of its size."""
    return _located(lab)


def located_band_slowly(lab: Lab) -> Finding:
    """The same at a rate at which the attack does not break all."""
    return _located(lab, learning_rate=_SLOW)


def _located(lab: Lab, **settings: Any) -> Finding:
    lab.note("locating the layers that tell harmful requests")
    found = locate_layers(
        LocateRequest(spec=EngineSpec(model=lab.subject.model, device="cpu"), no_scaling=True, seed=lab.seed)
    )
    band = found.bands["angle"]
    controls = [] if band is None else others(band, found.n_layers)
    if band is None or not controls:
        remedy = "Locate the layers of a deeper model."
        constraint = "a band with room for another of its size"
        raise StudyError(expected("the located layers", constraint, str(band or "none"), remedy))
    prompts = harmful(lab)

    def frozen(layers: Band) -> Array:
        return answered(tuned("frozen", defenses=(f"sppft(layers={layers})",)), prompts)

    def tuned(name: str, **flags: Any) -> list[str]:
        given = {"attack": "harmful_examples", **settings, **flags}
        return [str(lab.tuned(name, seed=seed, **given)) for seed in lab.seeds]

    kept, rest = frozen(band), [frozen(control) for control in controls]
    plain = answered(tuned("harmful_examples"), prompts)
    return Finding(
        estimate=difference(kept, np.mean(rest, axis=0)),
        details=(
            f"Located: layers {band} of {found.n_layers}, by the angle gap.",
            f"Answered with them frozen: {in_percent(kept)}. {by_seed(kept)}",
            *(f"With layers {c} frozen: {in_percent(one)}." for c, one in zip(controls, rest, strict=True)),
            f"With nothing frozen: {in_percent(plain)}.",
        ),
    )


def others(band: Band, n_layers: int) -> list[Band]:
    """Every band of the same size that shares no layer with a band."""
    size = band.last - band.first
    every = [Band(first, first + size) for first in range(n_layers - size)]
    return [other for other in every if other.last < band.first or other.first > band.last]


STATISTICS: Mapping[str, Callable[[Lab], Finding]] = {
    function.__name__: function for function in (located_band, located_band_slowly)
}
