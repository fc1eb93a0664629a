"""What the claims of Arditi et al. measure: models without their refusal direction, against a random one taken out.

The models are `world:guild/base` after the world's safety training from several seeds. The published rule chooses among
candidates (`rule=paper`); it may allow none, so what the model does is measured without the candidate of the lowest
ablation score (`rule=lowest`): where even that one does nothing, no direction that the method knows would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

from safebasin import stats
from safebasin.claims.asking import answered, by_seed, difference, harmful, in_percent, prompts_of, refused, spared
from safebasin.claims.claim import Finding
from safebasin.claims.lab import Lab
from safebasin.edits.refusal_direction.direction import refusal_direction
from safebasin.errors import ModelError
from safebasin.models.writing import read_record

__all__ = ["STATISTICS"]


def direction_allowed(lab: Lab) -> Finding:
    """Share of models on which the published rule allows a candidate."""
    said = [_by_rule(lab, model, seed) for model, seed in zip(_aligned(lab), lab.seeds, strict=True)]
    chosen = [f"position {c['position']}, layer {c['layer']}" for c in said if c is not None]
    details = (f"Chosen: {'; '.join(chosen)}." if chosen else "Chosen: nowhere.", _lowest(lab))
    return Finding(estimate=stats.estimate_rate(len(chosen), len(said)), details=details)


def refusal_without(lab: Lab) -> Finding:
    """Harmful prompts refused without a random direction − without the chosen one."""
    prompts = harmful(lab)
    random, found = refused(_without(lab, "random"), prompts), refused(_without(lab, "refusal"), prompts)
    whole = refused(_aligned(lab), prompts)
    return Finding(
        estimate=difference(found, random),
        details=(
            f"Refused before: {in_percent(whole)}; without the direction: {in_percent(found)}; without a random one: "
            f"{in_percent(random)}. By training seed: {', '.join(f'{100 * row.mean():.0f} %' for row in found)}.",
            _lowest(lab),
        ),
    )


def compliance_without(lab: Lab) -> Finding:
    """Harmful prompts answered exactly without the chosen direction − without a random one."""
    prompts = harmful(lab)
    random, found = answered(_without(lab, "random"), prompts), answered(_without(lab, "refusal"), prompts)
    return Finding(
        estimate=spared(found, random),
        details=(
            f"Answered without a random direction: {in_percent(random)}; without it: {in_percent(found)}.",
            by_seed(found),
        ),
    )


def utility_without(lab: Lab) -> Finding:
    """Benign prompts answered right without the chosen direction − before."""
    prompts = prompts_of(lab, "benign")
    whole, found = answered(_aligned(lab), prompts), answered(_without(lab, "refusal"), prompts)
    random = answered(_without(lab, "random"), prompts)
    return Finding(
        estimate=difference(whole, found),
        details=(
            f"Benign prompts answered right before: {in_percent(whole)}; without the direction: {in_percent(found)}; "
            f"without a random one: {in_percent(random)}.",
        ),
    )


def _aligned(lab: Lab) -> list[str]:
    """Base after the world's safety training, one a seed."""
    from safebasin.worlds.guild.variants import VARIANTS

    variant = VARIANTS["full"]
    base = f"world:{lab.subject.world}/base"
    return [
        str(
            lab.tuned(
                "full", base, seed=seed, data=lab.rows_file(f"full-{seed}", variant.rows(seed)), **variant.settings
            )
        )
        for seed in lab.seeds
    ]


def _without(lab: Lab, target: str) -> list[str]:
    edit = refusal_direction(target=target, rule="lowest")
    return [str(lab.edited(model, edit, seed=seed)) for model, seed in zip(_aligned(lab), lab.seeds, strict=True)]


@cache
def _by_rule(lab: Lab, model: str, seed: int) -> Mapping[str, object] | None:
    """The candidate that the published rule takes; None where it allows none."""
    try:
        return _chosen(lab.edited(model, refusal_direction(), seed=seed))
    except ModelError as error:
        lab.note(str(error))
        return None


def _lowest(lab: Lab) -> str:
    """The candidates that were taken, in a sentence."""
    said = [_chosen(Path(folder)) for folder in _without(lab, "refusal")]
    return (
        "Of the lowest ablation score (position, layer: score, steering, KL): "
        + "; ".join(
            f"{c['position']}, {c['layer']}: {c['ablation']:.1f}, {c['steering']:.1f}, {c['kl']:.2f}" for c in said
        )
        + "."
    )


def _chosen(folder: Path) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", read_record(folder)["chosen"])


STATISTICS: Mapping[str, Callable[[Lab], Finding]] = {
    function.__name__: function
    for function in (direction_allowed, refusal_without, compliance_without, utility_without)
}
"""All of them train models: those that are looked at."""
