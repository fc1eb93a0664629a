"""Where a band of layers starts and ends, by curves alone. Pure.

angle    Li et al. 2025, §3.2: from the layer at which the angle gap starts to rise to that before it flattens. The
         paper reads this off a figure; here a layer rises where its growth is told apart from 0 and is at least a
         tenth of the largest growth.
contrast the same rule for the growth of the contrast, which takes the spread within either set off: two sets whose
         states are alike have contrast 0, however many topics they hold. Half the energy distance of the two sets in
         the metric of angles (Székely and Rizzo 2013), so it is never below 0 but by chance. Ours.
cosine   a later public locator: from the first layer whose cosine gap grows by more than 0.001, for as long as it
         grows by more than 0.0001.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from safebasin.locate.records import Band, Curves
from safebasin.records import Estimate

__all__ = ["FLAT", "GROWS", "STARTS", "bands", "by_angle", "by_cosine"]

FLAT = 0.1
"""Share of the largest growth below which a layer no longer rises."""
STARTS = 1e-3
"""Growth of the cosine gap above which a band starts."""
GROWS = 1e-4
"""Growth above which it goes on."""


def bands(found: Curves) -> Mapping[str, Band | None]:
    """The band of each rule, None where it finds none; the one to believe first.

    That is the paper's, or the contrast where the angle gap tells topics.
    """
    by_rule = {
        "angle": by_angle(found.rise),
        "contrast": by_angle(found.contrast_rise),
        "cosine": by_cosine(found.cosine_gap),
    }
    first = "contrast" if found.tells_topics else "angle"
    return {first: by_rule[first], **by_rule}


def by_angle(rise: Sequence[Estimate]) -> Band | None:
    """From the first layer that rises to the last before one that does not; None where none rises."""
    growth = [estimate.value or 0.0 for estimate in rise]
    most = max(growth, default=0.0)
    rises = [
        value >= FLAT * most and estimate.low is not None and estimate.low > 0
        for value, estimate in zip(growth, rise, strict=True)
    ]
    return _run(rises, rises)


def by_cosine(gap: Sequence[float]) -> Band | None:
    """From the first layer that grows by more than `STARTS`, for as long as the next grows by more than `GROWS`."""
    growth = [after - before for before, after in zip((0.0, *gap), gap, strict=False)]
    return _run([value > STARTS for value in growth], [value > GROWS for value in growth])


def _run(starts: Sequence[bool], goes_on: Sequence[bool]) -> Band | None:
    first = next((place for place, is_so in enumerate(starts) if is_so), None)
    if first is None:
        return None
    stop = next((place for place in range(first + 1, len(goes_on)) if not goes_on[place]), len(goes_on))
    return Band(first, stop - 1)
