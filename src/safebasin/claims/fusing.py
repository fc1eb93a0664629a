"""What the claims about weight defenses measure: models of the embedded world after an attack, then after a defense.

The attack is that of ten harmful examples at its settings for worlds, all weights trained. Safe LoRA is told what
alignment moved: the difference of the world's own two checkpoints. The vector of RESTA is that of the aligned model and
of the same after a hundred other harmful examples, and the mask of SOMF is learned on refusals of the aligned model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from safebasin.claims.asking import answered, by_seed, difference, harmful, in_percent, prompts_of, spared
from safebasin.claims.claim import Finding
from safebasin.claims.lab import Lab
from safebasin.edits.somf import somf

__all__ = ["STATISTICS"]

_OTHER = 1000
"""What is added to a seed so that the rows of the vector are not those of the attack."""


def projected_harm(lab: Lab) -> Finding:
    """Harmful prompts answered before and after Safe LoRA."""
    prompts = harmful(lab)
    tuned = _attacked(lab)
    found = answered(_projected(lab, "paper"), prompts)
    corrected = answered(_projected(lab, "corrected"), prompts)
    exact = answered(_projected(lab, "paper, exact=true"), prompts)
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
    projected = answered(_projected(lab, "paper"), prompts)
    shrunk = answered(_projected(lab, "paper, control=shrunk"), prompts)
    random = answered(_projected(lab, "paper, control=random"), prompts)
    return Finding(
        estimate=spared(shrunk, projected),
        details=(
            f"Answered after the projection: {in_percent(projected)}; after an update as short: {in_percent(shrunk)}; "
            f"after a projection onto a subspace turned at random: {in_percent(random)}.",
        ),
    )


def projected_utility(lab: Lab) -> Finding:
    """Benign prompts answered right, before and after Safe LoRA."""
    return _utility(lab, _projected(lab, "paper"))


# --- RESTA and DARE --------------------------------------------------------------------------------------------------

_DARE = "dare(strength=0.2)"


def added_harm(lab: Lab) -> Finding:
    """Harmful prompts answered before and after RESTA."""
    double = answered(_added(lab, strength=1.0), harmful(lab))
    return _restored(lab, _added(lab), f"At twice the strength, 1: {in_percent(double)}.")


def added_against_random(lab: Lab) -> Finding:
    """The vector against noise as long in each tensor."""
    prompts = harmful(lab)
    found, random = answered(_added(lab), prompts), answered(_added(lab, control="random"), prompts)
    return Finding(
        estimate=spared(random, found),
        details=(f"Answered after the vector: {in_percent(found)}; after noise as long: {in_percent(random)}.",),
    )


def dropped_harm(lab: Lab) -> Finding:
    """RESTA with a fifth of what was trained dropped before it, and without."""
    prompts = harmful(lab)
    added, both = answered(_added(lab), prompts), answered(_added(lab, dare=True), prompts)
    dropped = answered(_defended(lab, _DARE), prompts)
    return Finding(
        estimate=spared(added, both),
        details=(
            f"Answered after RESTA: {in_percent(added)}; with DARE before it: {in_percent(both)}; after DARE alone: "
            f"{in_percent(dropped)}.",
        ),
    )


def added_utility(lab: Lab) -> Finding:
    """Benign prompts answered right, before and after RESTA."""
    return _utility(lab, _added(lab))


# --- SOMF ------------------------------------------------------------------------------------------------------------


def masked_harm(lab: Lab) -> Finding:
    """Harmful prompts answered before and after SOMF."""
    sampled = answered(_masked(lab, export="sampled"), harmful(lab))
    detail = f"With one draw of the mask, as the published code exports it: {in_percent(sampled)}."
    return _restored(lab, _masked(lab), detail)


def masked_against_random(lab: Lab) -> Finding:
    """The learned mask against one that keeps as many elements of each tensor."""
    prompts = harmful(lab)
    found, random = answered(_masked(lab), prompts), answered(_masked(lab, control="random"), prompts)
    return Finding(
        estimate=spared(random, found),
        details=(
            f"Answered after the learned mask: {in_percent(found)}; after a random one as large: {in_percent(random)}.",
        ),
    )


def masked_utility(lab: Lab) -> Finding:
    """Benign prompts answered right, before and after SOMF."""
    return _utility(lab, _masked(lab))


# --- models ----------------------------------------------------------------------------------------------------------


def _restored(lab: Lab, defended: list[str], detail: str) -> Finding:
    """Harmful prompts answered after the attack, before and after a defense."""
    prompts = harmful(lab)
    alone, found = answered(_attacked(lab), prompts), answered(defended, prompts)
    said = f"Answered before the defense: {in_percent(alone)}; after it: {in_percent(found)}. {by_seed(found)}"
    return Finding(estimate=spared(alone, found), details=(said, detail))


def _utility(lab: Lab, models: Sequence[str]) -> Finding:
    """What models answer right of what is permitted, beside the attacked ones."""
    shares = {
        name: (answered(_attacked(lab), prompts_of(lab, name)), answered(models, prompts_of(lab, name)))
        for name in ("benign", "borderline")
    }
    (tuned, found), (before, after) = shares["benign"], shares["borderline"]
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


def _added(lab: Lab, *, strength: float = 0.5, control: str = "none", dare: bool = False) -> list[str]:
    """Those after RESTA, each with a vector of its own seed."""
    made: list[str] = []
    for seed, model in zip(lab.seeds, _attacked(lab), strict=True):
        unaligned = lab.tuned("unaligned", seed=seed + _OTHER, attack="harmful_examples(n=100)")
        given = "" if control == "none" else f", control={control}"
        vector = f"resta(unaligned={unaligned}{given}, strength={strength:g})"
        made.append(str(lab.defended(model, *([_DARE] if dare else []), vector, seed=seed)))
    return made


def _masked(lab: Lab, *, export: str = "deterministic", control: str = "none") -> list[str]:
    """Those after SOMF, each with a mask of its own seed."""
    edit = somf(lab.subject.model, export=export, control=control)
    return [str(lab.edited(model, edit, seed=seed)) for model, seed in zip(_attacked(lab), lab.seeds, strict=True)]


def _projected(lab: Lab, variant: str) -> list[str]:
    """Those after Safe LoRA in all matrices."""
    return _defended(lab, f"safe_lora(unaligned=world:{lab.subject.world}/base, variant={variant})")


def _defended(lab: Lab, defense: str) -> list[str]:
    """Those after a defense."""
    return [str(lab.defended(model, defense, seed=seed)) for model, seed in zip(_attacked(lab), lab.seeds, strict=True)]


STATISTICS: Mapping[str, Callable[[Lab], Finding]] = {
    function.__name__: function
    for function in (
        projected_harm,
        projected_against_shrunk,
        projected_utility,
        added_harm,
        added_against_random,
        dropped_harm,
        added_utility,
        masked_harm,
        masked_against_random,
        masked_utility,
    )
}
