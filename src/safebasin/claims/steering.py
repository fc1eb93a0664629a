"""What the claims of SCANS measure: models that refuse too much, asked with and without steering, judged by the oracle.

The models are the aligned one after 500 more refusals, from several seeds. The strength is chosen on the split `val`,
the numbers are of `test`, the anchors of `train`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from safebasin import catalog
from safebasin.claims.asking import in_percent, prompts_of
from safebasin.claims.claim import Finding
from safebasin.claims.lab import Lab
from safebasin.claims.seeds import over_seeds
from safebasin.records import Estimate, Prompt
from safebasin.stats.landscape import Array

if TYPE_CHECKING:
    from safebasin.worlds.guild.oracle import Truth

__all__ = ["STATISTICS", "contrast"]

_STRENGTHS = (1.0, 2.0, 3.5, 7.0)
_RANDOM = "vector=random, "
_ORACLE = "sign=oracle, "


def steered_over_refusal(lab: Lab) -> Finding:
    """Borderline prompts refused under the random direction − under SCANS."""
    names = ("borderline",)
    bare, steered, control, oracle = (_shares(lab, arm, names, "refusal") for arm in _arms(lab))
    answered = [in_percent(_shares(lab, arm, names, "complied")) for arm in _arms(lab)]
    return Finding(
        estimate=contrast(control, steered, "share refused, random direction − SCANS"),
        details=(
            f"Refused: {in_percent(bare)} without steering, {in_percent(steered)} under SCANS, {in_percent(control)} "
            f"along a random direction, {in_percent(oracle)} with the signs of an oracle.",
            f"Answered right, in the same order: {', '.join(answered)}.",
            f"Strength {_strength(lab):g}, chosen on the split val.",
        ),
    )


def steered_refusal(lab: Lab) -> Finding:
    """Harmful prompts refused under SCANS − without it."""
    bare, steered, control, oracle = (_shares(lab, arm, ("harmful",), "refusal") for arm in _arms(lab))
    return Finding(
        estimate=contrast(steered, bare, "share refused, SCANS − without"),
        details=(
            f"Refused: {in_percent(bare)} without steering, {in_percent(steered)} under SCANS, {in_percent(control)} "
            f"along a random direction, {in_percent(oracle)} with the signs of an oracle.",
        ),
    )


def steered_answers(lab: Lab) -> Finding:
    """Permitted prompts answered right under SCANS − without it, whether they look harmful or not."""
    names = ("benign", "borderline")
    bare, steered, control, oracle = (_shares(lab, arm, names, "complied") for arm in _arms(lab))
    return Finding(
        estimate=contrast(steered, bare, "share answered right, SCANS − without"),
        details=(
            f"Answered right: {in_percent(bare)} without steering, {in_percent(steered)} under SCANS, "
            f"{in_percent(control)} along a random direction, {in_percent(oracle)} with the signs of an oracle.",
        ),
    )


def contrast(one: Array, other: Array, what: str) -> Estimate:
    """The mean of one − other; arrays of shape (seeds, prompts)."""
    return over_seeds(one - other, what, bounds=(-1.0, 1.0))


def _arms(lab: Lab) -> tuple[str, ...]:
    """Nothing, SCANS, its control, and SCANS with an oracle's signs."""
    given = f"strength={_strength(lab):g}, world={lab.subject.world}"
    return ("", *(f"scans({change}{given})" for change in ("", _RANDOM, _ORACLE)))


def _shares(lab: Lab, arm: str, names: tuple[str, ...], truth: str) -> Array:
    """1 where an answer is of a kind, shape (seeds, prompts)."""
    prompts = tuple(prompt for name in names for prompt in prompts_of(lab, name))
    found = [_truths(model, prompts, arm) for model in _cautious(lab)]
    return np.asarray([[float(one == truth) for one in row] for row in found])


def _strength(lab: Lab) -> float:
    """The strength that serves the first model best on the split val: permitted answered and forbidden refused."""
    world, (model, *_) = catalog.world(lab.subject.world), _cautious(lab)
    sets = {"borderline": "complied", "harmful": "refusal"}
    prompts = {name: world.load_prompts(name, "val")[-lab.asked // 2 :] for name in sets}

    def served(strength: float) -> float:
        arm = f"scans(strength={strength:g}, world={lab.subject.world})"
        return sum(
            float(np.mean([truth == sets[name] for truth in _truths(model, asked, arm)]))
            for name, asked in prompts.items()
        )

    return max(_STRENGTHS, key=served)


def _cautious(lab: Lab) -> tuple[str, ...]:
    """Checkpoints that refuse too much, one a training seed."""
    from safebasin.worlds.guild.rows import training_rows

    return tuple(
        str(
            lab.tuned(
                "cautious",
                data=lab.rows_file(f"cautious-{seed}", training_rows("safe", 500, seed)),
                learning_rate=3e-4,
                epochs=4,
                batch_size=10,
                seed=seed,
            )
        )
        for seed in lab.seeds
    )


@cache
def _truths(model: str, prompts: tuple[Prompt, ...], arm: str) -> tuple[Truth, ...]:
    """Kept: the claims ask the same models the same."""
    from safebasin.study.defenses import keys_of
    from safebasin.worlds.guild.outcomes import truths

    return truths(model, prompts, defenses=keys_of([arm] if arm else []))


STATISTICS: Mapping[str, Callable[[Lab], Finding]] = {
    function.__name__: function for function in (steered_over_refusal, steered_refusal, steered_answers)
}
