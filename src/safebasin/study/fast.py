"""Fast mode: which part of a plan calibrates its token budget, and which is measured in exact mode too. Pure.

A fast plan first asks a few prompts of each set at some points of its grid to the full length: the pilot, by which
`run.token_budget` finds the budget of everything else. In the end other prompts are asked in exact mode at a sample of
its points, which tells how far fast verdicts can be relied on. Both are chosen by hashes of what is asked, not by
order: the same prompts and points in every run, and none that somebody chose.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby

from safebasin.records import Decoding, Place, Prompt, Region, content_hash
from safebasin.study import Study
from safebasin.study.plan import Plan, PromptSet
from safebasin.study.stages import ask_order

__all__ = ["CHECKED", "PILOT", "POINTS", "checked", "exact_study", "in_full", "pilot"]

PILOT = 8
"""Prompts of each set that calibrate the budget, at most; at most half of the set."""
CHECKED = 16
"""Prompts of each set that are asked in exact mode too, at most, none of them of the pilot."""
POINTS = 2
"""Points of each line on which either is asked, beside the origin; twice as many of a plane. For the pilot no more than
half as many as are asked first: it costs the full length, wherever no answer refuses."""


def in_full(plan: Plan) -> Decoding:
    """Make the decoding of a fast plan before its budget is known: to the full length."""
    return replace(plan.decoding, max_new_tokens=plan.study.decoding.max_new_tokens)


def exact_study(study: Study) -> Study:
    """The study whose verdicts those of fast mode are held against: the same to the full length, stopped exactly."""
    return study.model_copy(update={"decoding": study.decoding.model_copy(update={"stop": "auto"})})


def pilot(plan: Plan) -> Plan:
    """The part of a fast plan that calibrates its budget: the origin and some points halfway out, to the full length.

    A budget has to hold where refusals come late, which is where verdicts change. At the ends of a line, which are
    asked first, hardly any answer refuses, and each takes the full length.
    """
    places = {region.name: _halfway(plan, region) for region in plan.regions}
    chosen = _with(plan, lambda prompts: _split(prompts)[0])
    return replace(plan, sets=chosen, chosen=places, decoding=in_full(plan), exact=None, stopped={})


def checked(plan: Plan) -> Plan | None:
    """The part of a fast plan that is measured in exact mode too: the origin and a sample of the points measured.

    None where the plan is none of fast mode.
    """
    if plan.exact is None:
        return None
    places = {region.name: _sampled(plan, region) for region in plan.regions}
    chosen = _with(plan, lambda prompts: _split(prompts)[1])
    return replace(plan, sets=chosen, chosen=places, decoding=plan.exact, exact=None, measurements=(), stopped={})


def _with(plan: Plan, choose: Callable[[tuple[Prompt, ...]], tuple[Prompt, ...]]) -> tuple[PromptSet, ...]:
    return tuple(replace(found, prompts=choose(found.prompts)) for found in plan.sets)


def _split(prompts: tuple[Prompt, ...]) -> tuple[tuple[Prompt, ...], tuple[Prompt, ...]]:
    """Those of the pilot and those that are checked, each in the order of the set; a lone prompt is both.

    They are the first that are asked anywhere, so that both are asked at points that are stopped, too.
    """
    shuffled = ask_order(prompt.id for prompt in prompts)
    n = min(PILOT, math.ceil(len(shuffled) / 2))
    first, second = set(shuffled[:n]), set(shuffled[n : n + CHECKED] or shuffled[:n])
    return tuple(p for p in prompts if p.id in first), tuple(p for p in prompts if p.id in second)


def _halfway(plan: Plan, region: Region) -> tuple[Place, ...]:
    """Places of a region's grid that lie nearest to half of its reach, so many of each line or plane, in its order.

    Of those that lie as near the outer ones, and of these some by their hashes.
    """
    reach = [max(map(abs, axis.alphas)) for axis in region.axes]
    n_asked = Counter(place.direction for place in plan.places(region))

    def off(place: Place) -> tuple[float, float, str]:
        out = max(abs(alpha) / most for alpha, most in zip(place.coords, reach, strict=True) if most)
        return round(abs(out - 0.5), 9), -round(out, 9), _rank(region, place)

    found: list[Place] = []
    for direction, there in groupby(region.grid(), key=lambda place: place.direction):
        on_grid = list(there)
        n = min(POINTS * len(region.axes), math.ceil(n_asked[direction] / 2))
        kept = set(sorted(on_grid, key=off)[:n])
        found += [place for place in on_grid if place in kept]
    return tuple(found)


def _sampled(plan: Plan, region: Region) -> tuple[Place, ...]:
    """Points of a region that are measured, so many of each line or plane, in the order of its grid."""
    found: list[Place] = []
    for direction in range(region.n_directions):
        there = [place for place in plan.places(region) if place.direction == direction]
        kept = set(sorted(there, key=lambda place: _rank(region, place))[: POINTS * len(region.axes)])
        found += [place for place in there if place in kept]
    return tuple(found)


def _rank(region: Region, place: Place) -> str:
    return content_hash(["fast", region.point(place).key])
