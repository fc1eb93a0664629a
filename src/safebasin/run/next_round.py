"""Regions that are sampled adaptively: from stored verdicts to the places of the next round, by `bisection`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from safebasin.landscape.stored import StoredStudy
from safebasin.landscape.tables import StudyTables
from safebasin.records import Place, Region
from safebasin.run.bisection import Index, Values, default_budget, next_places, start_places
from safebasin.store.db import StudyStore
from safebasin.study.plan import Plan

__all__ = ["first_places", "refined"]


def first_places(regions: Sequence[Region]) -> Mapping[str, tuple[Place, ...]]:
    """By name of each region that is sampled adaptively: the places of its coarse pass, the origin left out."""
    return {
        region.name: tuple(
            place
            for direction in range(region.n_directions)
            for place in _places(region, direction, start_places(region.shape, _origin(region), _budget(region)))
        )
        for region in regions
        if region.points == "auto"
    }


def refined(store: StudyStore, plan: Plan, judge: tuple[str, str]) -> Plan | None:
    """The plan with the places that are worth measuring next; None where there are none.

    Args:
        store: what was measured.
        plan: what was asked so far.
        judge: (name, version) of the judge whose ASR is followed, over every prompt set and system prompt.
    """
    regions = [region for region in plan.regions if region.points == "auto"]
    if not regions:
        return None
    study = StudyTables.read(StoredStudy(store, plan, (judge,)))
    chosen = dict(plan.chosen)
    for region in regions:
        new = tuple(_next(study, region))
        chosen[region.name] = _in_order(region, (*plan.places(region), *new))
    return None if chosen == plan.chosen else replace(plan, chosen=chosen)


def _next(study: StudyTables, region: Region) -> Iterator[Place]:
    for direction in range(region.n_directions):
        measured = _measured(study, region, direction)
        wanted = next_places(measured, region.shape, _origin(region), _budget(region))
        yield from _places(region, direction, wanted)


def _measured(study: StudyTables, region: Region, direction: int) -> dict[Index, Values]:
    """ASR at the measured places of one line or plane, one for each prompt set and system prompt."""
    (table,) = study.tables
    places = [place for place in study.plan.places(region) if place.direction == direction]
    if all(zero is not None for zero in _origin(region)):
        places.append(region.origin)
    keys = [region.point(place).key for place in places]
    curves = [
        [_rate(row) for row in table.success(keys, system.id, [p.id for p in prompts.prompts])]
        for prompts in study.plan.sets
        for system in study.plan.systems
    ]
    indices = [
        tuple(axis.alphas.index(coordinate) for axis, coordinate in zip(region.axes, place.coords, strict=True))
        for place in places
    ]
    return dict(zip(indices, zip(*curves, strict=True), strict=True))


def _rate(success: np.ndarray) -> float:
    scored = success[~np.isnan(success)]
    return float(scored.mean()) if scored.size else float("nan")


def _places(region: Region, direction: int, indices: Sequence[Index]) -> Iterator[Place]:
    for index in indices:
        coords = tuple(axis.alphas[i] for axis, i in zip(region.axes, index, strict=True))
        if any(coords):
            yield Place(direction=direction, coords=coords)


def _in_order(region: Region, places: Sequence[Place]) -> tuple[Place, ...]:
    wanted = set(places)
    return tuple(place for place in region.grid() if place in wanted)


def _origin(region: Region) -> tuple[int | None, ...]:
    return tuple(axis.alphas.index(0.0) if 0.0 in axis.alphas else None for axis in region.axes)


def _budget(region: Region) -> int:
    return region.budget or default_budget(region.shape)
