"""What the claim about VISAGE measures: whether it orders models by how easily fine-tuning breaks them, depth aside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from safebasin import stats
from safebasin.claims.claim import Finding
from safebasin.claims.lab import Lab
from safebasin.claims.landscapes import KEYWORD, percent
from safebasin.records import Estimate

__all__ = ["STATISTICS", "order_beyond_depth"]


def visage_order(lab: Lab) -> Finding:
    """Whether VISAGE before fine-tuning foretells how many prompts are answered after it, depth held fixed."""
    names = lab.ordered_variants
    visage: list[float] = []
    broken: list[float] = []
    depth: list[float] = []
    lines: list[str] = []
    for name in names:
        study = lab.measure(
            f"variant-{name}",
            lab.variant(name),
            prompts=[lab.subject.source("harmful")],
            range="-1.5:1.5:13",
            directions=3,
            limit=40,
            judge=[KEYWORD],
        )
        grid = next(study.grids())
        table = study.table(KEYWORD)
        found = stats.estimate_visage(grid.success(table), grid.alphas[0])
        rate, at_origin = lab.broken(name), 1 - float(np.nanmean(grid.origin(table)))
        if found.value is not None:  # undefined where every point is fully unsafe: not the lowest, but no rank
            visage.append(found.value)
            broken.append(rate.mean)
            depth.append(at_origin)
        lines.append(
            f"{name}: VISAGE {percent(found.value)}, depth {percent(at_origin)}; answered {percent(rate.before)} "
            f"before the attacks, {percent(rate.mean)} after."
        )
    finding = order_beyond_depth(visage, broken, depth, seed=lab.seed)
    return Finding(
        estimate=finding.estimate,
        p=finding.p,
        details=(*finding.details, *lines),
        figures=tuple(f"variant-{name}" for name in names),
    )


def order_beyond_depth(
    visage: Sequence[float], broken: Sequence[float], depth: Sequence[float], *, seed: int = 0
) -> Finding:
    """Partial Kendall τ of VISAGE and the share answered after the attacks, with depth held fixed.

    Args:
        visage: of each model.
        broken: share of harmful prompts answered after the attacks, the same order.
        depth: 1 − ASR at the origin by the judge of VISAGE, the same order.
        seed: of the permutations.
    """
    tau, plain = stats.partial_kendall(visage, broken, depth, seed=seed), stats.kendall(visage, broken, seed=seed)
    by_depth = stats.kendall(depth, broken, seed=seed)
    return Finding(
        estimate=Estimate(
            value=tau.tau,
            n=tau.n,
            method=(
                f"Kendall's partial τ over {tau.n} variants, depth held fixed; one-sided p = {tau.p_less:.3g} of "
                f"{tau.drawn} permutations of residual ranks, seed {seed}"
            ),
        ),
        p=tau.p_less,
        details=(
            f"Without holding depth fixed τ = {plain.tau:.2f} (p = {plain.p_less:.3g}); depth alone orders them with "
            f"τ = {by_depth.tau:.2f} (p = {by_depth.p_less:.3g}).",
        ),
    )


STATISTICS: Mapping[str, Callable[[Lab], Finding]] = {"visage_order": visage_order}
