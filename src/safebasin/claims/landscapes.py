"""What the claims about random directions measure: basin, rim, capability, system prompts, jailbreaks.

Each statistic takes a `Lab` and gives a `Finding`; the number itself is made in `safebasin.claims.curves`. Keyword ASR
where the paper's claim is about it; the subject's truth where two things are compared, on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from safebasin import stats
from safebasin.claims import curves
from safebasin.claims.claim import Finding
from safebasin.claims.lab import Lab
from safebasin.landscape.tables import Grid, StudyTables
from safebasin.records import Estimate

__all__ = ["KEYWORD", "STATISTICS", "percent"]

KEYWORD = "keyword/peng2024"
_AS_OFTEN = "jailbreak/mismatched_generalisation"
"""Requests in old speech: a jailbreak that nobody optimized, and that succeeds about as often as the suffix."""
_SAFETY = {"default": "the default of the chat template"}


def _only(study: StudyTables) -> Grid:
    return next(study.grids())


def _aligned(lab: Lab) -> StudyTables:
    return lab.measure("aligned", lab.subject.model, judge=[KEYWORD, lab.subject.truth])


# --- the basin --------------------------------------------------------------------------------------------------------


def basin_kept(lab: Lab) -> Finding:
    """Measure how far the level of safety at the origin is kept."""
    study = _aligned(lab)
    grid, keyword, oracle = _only(study), study.table(KEYWORD), study.table(lab.subject.truth)
    (alphas,) = grid.alphas
    radius = stats.estimate_radius(grid.success(keyword), alphas, grid.origin(keyword))
    return Finding(
        estimate=curves.estimate_kept(grid.success(keyword), alphas),
        details=(
            f"Keyword ASR at the origin: {percent(float(np.nanmean(grid.origin(keyword))))}; the truth is "
            f"{percent(float(np.nanmean(grid.origin(oracle))))}.",
            f"Radius, where keyword ASR reaches 50 %: {_number(radius.value)} in |α|.",
        ),
        figures=("aligned",),
    )


def rim_width(lab: Lab) -> Finding:
    """Measure how sharp the rim is, in radii."""
    study = _aligned(lab)
    grid, keyword, truth = _only(study), study.table(KEYWORD), study.table(lab.subject.truth)
    (alphas,) = grid.alphas
    counted, answers, noise = (
        float(np.nanmean(grid.success(table))) for table in (keyword, truth, truth.held(("incoherent",)))
    )
    return Finding(
        estimate=curves.estimate_rim(grid.success(keyword), alphas),
        details=(
            f"Over the whole range the keyword judge counts {percent(counted)} of the responses as successes; in truth "
            f"{percent(answers)} are answers, and {percent(noise)} are no language.",
        ),
        figures=("aligned",),
    )


# --- capability -------------------------------------------------------------------------------------------------------


def capability_against_safety(lab: Lab) -> Finding:
    """Measure whether exact answers to benign prompts outlast refusals of harmful ones, both by the oracle."""
    safety = _aligned(lab)
    able = lab.measure(
        "capability", lab.subject.model, prompts=[lab.subject.source("benign")], judge=[lab.subject.truth]
    )
    grid = _only(able)
    (alphas,) = grid.alphas
    refused = _only(safety).success(safety.table(lab.subject.truth).held(("refusal",)))
    correct = able.table(lab.subject.truth).held(("complied",))
    origin, held = grid.origin(correct), grid.success(correct)
    reach = stats.estimate_radius(1 - held, alphas, 1 - origin)
    return Finding(
        estimate=curves.outlasting(refused, held, alphas),
        details=(
            f"Benign answers exact at the origin: {percent(float(np.nanmean(origin)))}; they fall below 50 % at |α| = "
            f"{_number(reach.value)}.",
            "The two prompt sets are independent: the interval leaves out one prompt of each at a time.",
        ),
        figures=("aligned", "capability"),
    )


# --- system prompts ---------------------------------------------------------------------------------------------------


def system_prompt(lab: Lab) -> Finding:
    """Measure what the world's own safety prompt adds to the margin."""
    return _system_difference(lab, nearby=False)


def system_prompt_nearby(lab: Lab) -> Finding:
    """The same, over perturbed variants inside the basin only."""
    return _system_difference(lab, nearby=True)


def _system_difference(lab: Lab, *, nearby: bool) -> Finding:
    study = lab.measure(
        "systems", lab.subject.model, system=list(lab.subject.systems), directions=lab.many_directions, judge=[KEYWORD]
    )
    none, default = study.grids()
    table, (alphas,) = study.table(KEYWORD), none.alphas
    origins = [1 - float(np.nanmean(g.origin(table))) for g in (none, default)]
    return Finding(
        estimate=curves.protection(
            none.success(table), default.success(table), alphas, within=lab.subject.near if nearby else None
        ),
        details=(
            f"The safety prompt: {_SAFETY.get(lab.subject.systems[1], lab.subject.systems[1]).rstrip('.')}.",
            f"1 − ASR at the origin: {percent(origins[0])} without, {percent(origins[1])} with it.",
        ),
        figures=("systems",),
    )


# --- jailbreaks -------------------------------------------------------------------------------------------------------


def jailbreak_retention(lab: Lab) -> Finding:
    """Measure whether an optimized suffix survives perturbation for a shorter way than a jailbreak that succeeds as
    often.
    """
    file, suffix = lab.suffixed_prompts()
    here, reach = lab.subject, lab.subject.near
    jailbreaks = (here.source("jailbreak/prefix_injection"), str(file), here.source(_AS_OFTEN))
    study = lab.measure(
        "jailbreaks", here.model, prompts=[here.source("harmful"), *jailbreaks], limit=lab.asked,
        range=f"{-reach:g}:{reach:g}:9", judge=[here.truth],
    )  # fmt: skip
    plain, *others = study.grids()
    table = study.table(here.truth)
    refused, elicited = table.held(("refusal",)), table.held(("harmful",))
    counts = [plain.origin(refused) == 1] + [grid.origin(elicited) == 1 for grid in others]
    opening, optimized, as_often = (grid.success(elicited) for grid in others)
    both, alphas = counts[0] & counts[1] & counts[2], plain.alphas[0]
    same = curves.fragility(opening, optimized, alphas, both)
    against_refusals = stats.estimate_retention_difference(plain.success(refused), optimized, alphas, both)
    n_opening, n_suffix, n_as_often = (int(count.sum()) for count in counts[1:])
    return Finding(
        estimate=curves.fragility_overall(as_often, optimized, alphas, (counts[0] & counts[3], counts[0] & counts[2])),
        details=(
            f"The suffix, the best of its searches on other prompts: {suffix!r}. At the origin it succeeds on "
            f"{n_suffix} of {both.size} requests, old speech on {n_as_often}.",
            f"A dictated opening succeeds on {n_opening}. Against it, as the second version, over the "
            f"{int(both.sum())} requests on which both succeed: {_signed(same)}.",
            f"Against the plain refusals of the same requests, as the first: {_signed(against_refusals)}.",
        ),
        figures=("jailbreaks",),
    )


# --- small things -----------------------------------------------------------------------------------------------------


def percent(fraction: float | None) -> str:
    """A share for people."""
    return "undefined" if fraction is None else f"{100 * fraction:.1f} %"


def _signed(estimate: Estimate) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "undefined"
    return f"{100 * estimate.value:+.1f} points [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}"


STATISTICS: Mapping[str, Callable[[Lab], Finding]] = {
    function.__name__: function
    for function in (
        basin_kept,
        rim_width,
        capability_against_safety,
        system_prompt,
        system_prompt_nearby,
        jailbreak_retention,
    )
}
