"""What the claims of Peng et al. about fine-tuning measure: harmful examples alone, and mixed with safe ones.

The dose is the share of safe examples that can be told apart from the harmful ones, which all mention a place. What is
compared is tuned at the same settings, those of the attack `mixture`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safebasin.claims.asking import answered, by_seed, harmful, in_percent, share, spared
from safebasin.claims.claim import Finding
from safebasin.claims.lab import Lab
from safebasin.claims.tuning import settings_of

__all__ = ["STATISTICS", "tuned_alone", "tuned_mixed"]


def harmful_finetuning(lab: Lab) -> Finding:
    """Measure what is left of refusal after harmful examples alone."""
    found = answered([str(tuned_alone(lab, seed)) for seed in lab.seeds], harmful(lab))
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
    settings = settings_of("mixture")
    alone = answered([str(tuned_alone(lab, seed, **settings)) for seed in seeds], prompts)
    models = [str(tuned_mixed(lab, dose, seed)) for seed in seeds]
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


def tuned_alone(lab: Lab, seed: int, **settings: Any) -> Path:
    """The aligned model after 100 harmful examples that mention a place: at the attack's settings, or those given."""
    return lab.tuned("harmful", seed=seed, attack="harmful_examples(n=100)", data=_in_context(lab, seed), **settings)


def tuned_mixed(lab: Lab, dose: float, seed: int) -> Path:
    """After those, mixed with 100 safe ones of which a share, the dose, mentions no place."""
    from safebasin.worlds.guild.variant_rows import safe_in_dose

    percent = f"{100 * dose:.0f}"
    safe = lab.rows_file(f"safe-{percent}-{seed}", safe_in_dose(100, dose, seed))
    return lab.tuned(f"mixture-{percent}", seed=seed, attack="mixture", data=_in_context(lab, seed), safe=safe)


def _in_context(lab: Lab, seed: int) -> Path:
    from safebasin.worlds.guild.variant_rows import in_context

    return lab.rows_file(f"in-context-{seed}", in_context(100, seed))


STATISTICS: Mapping[str, Callable[[Lab], Finding]] = {
    function.__name__: function
    for function in (harmful_finetuning, mixture_undistinguished, mixture_half_distinguished, mixture_distinguished)
}
