"""What the claims of Wei et al. measure: the aligned model without weights that an attribution chose, or held by it.

Attribution as the published code has it (SNIP, over whole matrices, 5 % of each set), on rows of the world, which each
seed draws anew. Every number is a mean over seeds and prompts, whose interval is that of `safebasin.claims.seeds`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from safebasin.claims.asking import (
    answered,
    before,
    by_seed,
    difference,
    harmful,
    in_percent,
    prompts_of,
    refused,
    share,
)
from safebasin.claims.claim import Finding
from safebasin.claims.lab import Lab
from safebasin.edits.attribution.attribution import Attribution, attribution
from safebasin.finetune.holding import freeze_weights
from safebasin.models.writing import read_record

__all__ = ["STATISTICS", "TRAINING"]

_SHARE, _HELD = 0.05, 0.5
"""Of the weights of each matrix: what both sets are compared at, and what is held while a model is tuned."""


def refusal_lost(lab: Lab) -> Finding:
    """Refusals with as many weights gone at random, less refusals without the chosen ones."""
    pruned, control = _pruned(lab, "safety"), _pruned(lab, "random")
    prompts = harmful(lab)
    without, with_others = refused(pruned, prompts), refused(control, prompts)
    details = (
        by_seed(without),
        f"{in_percent(with_others)} are refused with as many weights gone at random: {_sizes(pruned)} of the weights.",
        f"{in_percent(answered(pruned, prompts))} are answered: what is no refusal is mostly no language either."
        if answered(pruned, prompts).mean() < 0.5 * (1 - without.mean())
        else f"{in_percent(answered(pruned, prompts))} are answered.",
    )
    return Finding(estimate=difference(without, with_others), details=details)


def answers_lost(lab: Lab) -> Finding:
    """Right answers to benign prompts before, less those without the chosen weights."""
    benign = prompts_of(lab, "benign")
    without = answered(_pruned(lab, "safety"), benign)
    control = answered(_pruned(lab, "random"), benign)
    details = (by_seed(without), f"With as many weights gone at random {in_percent(control)} are answered.")
    return Finding(estimate=difference(without, before(lab, benign)), details=details)


def compliance(lab: Lab) -> Finding:
    """Harmful prompts that are answered without the chosen weights."""
    found = answered(_pruned(lab, "safety"), harmful(lab))
    return Finding(estimate=share(found), details=(by_seed(found),))


def freezing(lab: Lab) -> Finding:
    """Harmful prompts answered after ten harmful examples, less those where half of the weights were held meanwhile."""
    prompts = harmful(lab)
    held = _edited(lab, attribution(score="snip", compare="matrix", safety=_HELD, utility=0.0))
    plain = [str(lab.tuned("harmful_examples", seed=seed, attack="harmful_examples")) for seed in lab.seeds]
    frozen = [
        str(lab.tuned("held", seed=seed, attack="harmful_examples", defenses=[freeze_weights(mask)]))
        for seed, mask in zip(lab.seeds, held, strict=True)
    ]
    after, without = answered(frozen, prompts), answered(plain, prompts)
    details = (
        by_seed(after),
        f"{in_percent(without)} without freezing.",
        "The paper fine-tunes on 10 to 100 benign rows; here it is ten harmful ones.",
    )
    return Finding(estimate=difference(after, without), details=details)


def _pruned(lab: Lab, target: str) -> list[str]:
    edit = attribution(score="snip", compare="matrix", safety=_SHARE, utility=_SHARE, target=target)
    return _edited(lab, edit)


def _edited(lab: Lab, edit: Attribution) -> list[str]:
    """The aligned model after an edit, one a seed."""
    return [str(lab.edited(lab.subject.model, edit, seed=seed)) for seed in lab.seeds]


def _sizes(folders: list[str]) -> str:
    records = [read_record(Path(folder)) for folder in folders]
    shares = [100 * int(str(r["chosen"])) / int(str(r["among"])) for r in records]
    return f"{min(shares):.1f} to {max(shares):.1f} %"


STATISTICS: Mapping[str, Callable[[Lab], Finding]] = {
    function.__name__: function for function in (refusal_lost, answers_lost, compliance)
}
TRAINING: Mapping[str, Callable[[Lab], Finding]] = {freezing.__name__: freezing}
"""Those that fine-tune models."""
