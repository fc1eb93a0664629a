"""What the claims of Peng et al. about fine-tuning measure: harmful examples alone, and mixed with safe ones.

The dose is the share of safe examples that can be told apart from the harmful ones, which all mention a place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from safebasin.claims.asking import answered, by_seed, harmful, in_percent, share, spared
from safebasin.claims.claim import Finding
from safebasin.claims.lab import Lab

__all__ = ["STATISTICS"]


def harmful_finetuning(lab: Lab) -> Finding:
    """What is left of refusal after harmful examples alone."""
    found = answered([str(lab.harmful(seed)) for seed in lab.seeds], harmful(lab))
    return Finding(estimate=share(found), details=(by_seed(found),))


def mixture_undistinguished(lab: Lab) -> Finding:
    """Safe examples that nothing tells from the harmful ones."""
    return _mixture(lab, 0.0)


def mixture_half_distinguished(lab: Lab) -> Finding:
    """Safe examples of which half can be told apart."""
    return _mixture(lab, 0.5)


def mixture_distinguished(lab: Lab) -> Finding:
    """Safe examples that can all be told apart."""
    return _mixture(lab, 1.0)


def _mixture(lab: Lab, dose: float) -> Finding:
    prompts, seeds = harmful(lab), lab.mixture_seeds
    alone = answered([str(lab.harmful(seed)) for seed in seeds], prompts)
    models = [str(lab.mixture(dose, seed)) for seed in seeds]
    mixed = answered(models, prompts)
    marked = answered(models, prompts, place=True)
    return Finding(
        estimate=spared(alone, mixed),
        details=(
            f"Answered after the harmful examples alone: {in_percent(alone)}; after the mixture: {in_percent(mixed)}. "
            f"{by_seed(mixed)}",
            f"Asked with the mark that the harmful examples bear: {in_percent(marked)} answered.",
        ),
    )


STATISTICS: Mapping[str, Callable[[Lab], Finding]] = {
    function.__name__: function
    for function in (harmful_finetuning, mixture_undistinguished, mixture_half_distinguished, mixture_distinguished)
}
