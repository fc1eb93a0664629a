"""One point of a stored plan by its coordinates, on the grid or between: which region, which direction, what recipe."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import cast

from safebasin.errors import StudyError, expected
from safebasin.records import Place, Region
from safebasin.study.plan import Plan

__all__ = ["AXES", "find_place"]

AXES = ("alpha", "beta")
"""Names of the coordinates, axis by axis."""


def find_place(
    plan: Plan, at: Mapping[str, float], *, region: str | None = None, direction: int = 0
) -> tuple[Region, Place]:
    """The place of a plan at given coordinates.

    Args:
        plan: of the study.
        at: `alpha`, and in a plane `beta`, within the range that is mapped.
        region: by name; may be left out where there is one.
        direction: number of the line or plane, from 0.

    Raises:
        StudyError: where the region, the direction or a coordinate is not the study's.
    """
    chosen = _region(plan, region)
    if not 0 <= direction < chosen.n_directions:
        constraint = f"from 0 to {chosen.n_directions - 1}, one that {chosen.name!r} has"
        raise StudyError(expected("direction", constraint, direction, "Choose one with --direction."))
    names = AXES[: len(chosen.axes)]
    if not _has_coordinates(at, names):
        given = ", ".join(map(_shown, at.items())) or None if isinstance(at, Mapping) else at
        wanted = " ".join(f"--at {name}=NUMBER" for name in names)
        raise StudyError(expected("the point", "a coordinate per axis", given, f"Write {wanted}."))
    for name, axis in zip(names, chosen.axes, strict=True):
        low, high = min(*axis.alphas, 0.0), max(*axis.alphas, 0.0)
        if not (math.isfinite(at[name]) and low <= at[name] <= high):
            raise StudyError(expected(name, f"from {low:g} to {high:g}, as mapped", at[name], "Map a wider range."))
    coords = tuple(float(at[name]) for name in names)
    return chosen, Place(direction=direction if any(coords) else -1, coords=coords)


def _shown(coordinate: tuple[str, object]) -> str:
    name, value = coordinate
    return f"{name}={value:g}" if isinstance(value, (int, float)) else f"{name}={value!r}"


def _has_coordinates(at: object, names: Collection[str]) -> bool:
    """Whether what a caller gave is a number for each of these axes, and for no other."""
    if not isinstance(at, Mapping):
        return False
    given = cast("Mapping[object, object]", at)
    return set(given) == set(names) and all(isinstance(value, (int, float)) for value in given.values())


def _region(plan: Plan, name: str | None) -> Region:
    known = {region.name: region for region in plan.regions}
    if name is None and len(known) == 1:
        return plan.regions[0]
    if name not in known:
        remedy = "Choose one with --region."
        raise StudyError(expected("region", f"one of {', '.join(map(repr, known))}", name, remedy))
    return known[name]
