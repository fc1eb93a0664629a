"""What the claims about weight defenses measure: models of the embedded world after an attack, then after a defense.

The attack is that of ten harmful examples at its settings for worlds, all weights trained. What alignment moved is the
difference of the world's own two checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from safebasin.claims.asking import answered, by_seed, difference, harmful, in_percent, prompts_of, spared
from safebasin.claims.claim import Finding
from safebasin.claims.lab import Lab

__all__ = ["STATISTICS"]


def projected_harm(lab: Lab) -> Finding:
    """Harmful prompts answered before and after Safe LoRA."""
    prompts = harmful(lab)
    tuned = _attacked(lab)
    found = answered(_defended(lab, "paper"), prompts)
    corrected = answered(_defended(lab, "corrected"), prompts)
    exact = answered(_defended(lab, "paper, exact=true"), prompts)
    alone = answered(tuned, prompts)
    return Finding(
        estimate=spared(alone, found),
        details=(
            f"Answered before the defense: {in_percent(alone)}; after it: {in_percent(found)}. {by_seed(found)}",
            f"With C of largest eigenvalue 1: {in_percent(corrected)}; with the exact projector: {in_percent(exact)}.",
        ),
    )


def projected_against_shrunk(lab: Lab) -> Finding:
    """The same updates as short, and not turned; and turned at random."""
    prompts = harmful(lab)
    projected = answered(_defended(lab, "paper"), prompts)
    shrunk = answered(_defended(lab, "paper, control=shrunk"), prompts)
    random = answered(_defended(lab, "paper, control=random"), prompts)
    return Finding(
        estimate=spared(shrunk, projected),
        details=(
            f"Answered after the projection: {in_percent(projected)}; after an update as short: {in_percent(shrunk)}; "
            f"after a projection onto a subspace turned at random: {in_percent(random)}.",
        ),
    )


def projected_utility(lab: Lab) -> Finding:
    """Benign prompts answered right, before and after Safe LoRA."""
    prompts = prompts_of(lab, "benign")
    tuned, found = answered(_attacked(lab), prompts), answered(_defended(lab, "paper"), prompts)
    borderline = prompts_of(lab, "borderline")
    before, after = answered(_attacked(lab), borderline), answered(_defended(lab, "paper"), borderline)
    return Finding(
        estimate=difference(tuned, found),
        details=(
            f"Benign prompts answered right before: {in_percent(tuned)}; after: {in_percent(found)}.",
            f"Permitted prompts that look forbidden, answered right before: {in_percent(before)}; after: "
            f"{in_percent(after)}.",
        ),
    )


def _attacked(lab: Lab) -> list[str]:
    """The aligned model after ten harmful examples, one a training seed."""
    return [str(lab.tuned("harmful_examples", seed=seed, attack="harmful_examples")) for seed in lab.seeds]


def _defended(lab: Lab, variant: str) -> list[str]:
    """Those after Safe LoRA in all matrices."""
    defense = f"safe_lora(unaligned=world:{lab.subject.world}/base, variant={variant})"
    return [str(lab.defended(model, defense, seed=seed)) for model, seed in zip(_attacked(lab), lab.seeds, strict=True)]


STATISTICS: Mapping[str, Callable[[Lab], Finding]] = {
    function.__name__: function for function in (projected_harm, projected_against_shrunk, projected_utility)
}
