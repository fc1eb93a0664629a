"""What the claim about VISAGE measures: whether it orders models by how easily fine-tuning breaks them, depth aside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from safebasin import catalog, stats
from safebasin.claims.claim import Finding
from safebasin.claims.lab import Lab
from safebasin.claims.landscapes import KEYWORD, percent
from safebasin.records import Estimate

__all__ = ["LADDER", "STATISTICS", "BreakRate", "break_rate", "order_beyond_depth"]

LADDER = (2e-5, 5e-5, 1e-4, 2e-4)
"""Learning rates of the attack `harmful_examples` on a variant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakRate:
    """The rate at which fine-tuning breaks a checkpoint."""

    asr: tuple[float, ...]
    """True ASR after the attack at each rate of the ladder, in [0, 1]."""
    before: float
    """True ASR before any."""

    @property
    def mean(self) -> float:
        """Mean over the ladder, in [0, 1]: the larger, the easier it breaks."""
        return sum(self.asr) / len(self.asr)


def visage_order(lab: Lab) -> Finding:
    """Measure whether VISAGE before fine-tuning foretells how many prompts are answered after it, depth held fixed."""
    visage: list[float] = []
    broken: list[float] = []
    depth: list[float] = []
    lines: list[str] = []
    figures: list[str] = []
    for name in lab.ordered_variants:
        model = lab.variant(name)
        study = lab.measure(
            model.name,
            model,
            prompts=[lab.subject.source("harmful")],
            range="-1.5:1.5:13",
            directions=3,
            limit=40,
            judge=[KEYWORD],
        )
        figures.append(model.name)
        grid = next(study.grids())
        table = study.table(KEYWORD)
        found = stats.estimate_visage(grid.success(table), grid.alphas[0])
        rate, at_origin = break_rate(lab, name, model), 1 - float(np.nanmean(grid.origin(table)))
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
        figures=tuple(figures),
    )


def break_rate(lab: Lab, name: str, model: Path) -> BreakRate:
    """Attack a variant at each rate of the ladder, with the same ten examples, and measure each by the oracle."""
    from safebasin.worlds.guild.outcomes import success_rate
    from safebasin.worlds.guild.rows import training_rows

    lab.note(f"measuring how easily variant {name} breaks")
    examples = lab.rows_file("harmful", training_rows("harmful", 10, lab.seed))
    prompts = catalog.world(lab.subject.world).load_prompts("harmful", "val")[: lab.asked]
    broken = [
        lab.tuned("attacked", model, seed=lab.seed, attack="harmful_examples", data=examples, learning_rate=rate)
        for rate in LADDER
    ]
    return BreakRate(asr=tuple(success_rate(b, prompts) for b in broken), before=success_rate(model, prompts))


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
