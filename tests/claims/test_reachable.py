"""Every claim can be reproduced, not reproduced, or undecided: synthetic tables of default size, their answer known."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from safebasin.claims import asking, curves, finetuning, orders, seeds, steering
from safebasin.claims.claim import Answer, Claim, Finding, answer, load_claims, papers
from safebasin.records import Estimate
from safebasin.stats.landscape import Array

ALPHAS = np.linspace(-1.5, 1.5, 21)
ANSWERS: tuple[Answer, ...] = ("reproduced", "not reproduced", "undecided")
Made = Mapping[Answer, Estimate | Finding]

CLAIMS: dict[str, Claim] = {claim.name: claim for paper in papers() for claim in load_claims(paper)}


def landscape(
    radius: float, *, width: float = 0.05, spread: float = 0.05, directions: int = 8, prompts: int = 40, seed: int = 0
) -> Array:
    """Prompt p is answered in direction d beyond |α| = radius, give or take prompt (width) and direction (spread)."""
    rng = np.random.default_rng(seed)
    rims = radius + spread * rng.normal(size=(directions, 1)) + width * rng.uniform(-1, 1, size=(1, prompts))
    return (np.abs(ALPHAS)[None, :, None] >= np.maximum(rims, 1e-6)[:, None, :]).astype(float)


def rates(mean: float, *, spread: float = 0.02, n_seeds: int = 8, prompts: int = 80, seed: int = 0) -> Array:
    """Answered with this probability; seeds differ by `spread`."""
    rng = np.random.default_rng(seed)
    drawn = np.clip(mean + spread * rng.normal(size=(n_seeds, 1)), 0, 1)
    return (rng.random((n_seeds, prompts)) < drawn).astype(float)


def basin() -> Made:
    return {
        "reproduced": curves.estimate_kept(landscape(0.6), ALPHAS),
        "not reproduced": curves.estimate_kept(landscape(0.12), ALPHAS),
        "undecided": curves.estimate_kept(landscape(0.3, spread=0.25), ALPHAS),
    }


def rim() -> Made:
    return {
        "reproduced": curves.estimate_rim(landscape(0.6), ALPHAS),
        "not reproduced": curves.estimate_rim(landscape(0.6, width=0.6, spread=0.01, prompts=80), ALPHAS),
        # Some sides rise by half, and not by nine tenths before the range ends: the rim may be wider than it looks.
        "undecided": curves.estimate_rim(landscape(1.3, width=0.3), ALPHAS),
    }


def capability() -> Made:
    refused = 1 - landscape(0.8)
    return {
        "reproduced": curves.outlasting(refused, 1 - landscape(1.1, seed=5), ALPHAS),
        "not reproduced": curves.outlasting(refused, 1 - landscape(0.7), ALPHAS),
        "undecided": curves.outlasting(refused, 1 - landscape(0.8, spread=0.3, seed=3), ALPHAS),
    }


def protection(within: float | None) -> Made:
    def found(gain: float, *, spread: float = 0.05, seed: int = 0) -> Estimate:
        without = landscape(0.5, directions=12, seed=0)
        after = landscape(0.5 + gain, spread=spread, directions=12, seed=seed)
        return curves.protection(without, after, ALPHAS, within=within)

    return {
        "reproduced": found(0.3, seed=1),
        "not reproduced": found(-0.1, seed=1),
        "undecided": found(0.1, spread=0.3, seed=2),
    }


def jailbreaks() -> Made:
    def found(radius: float, *, spread: float = 0.05, seed: int = 0) -> Estimate:
        control, optimized = 1 - landscape(0.9), 1 - landscape(radius, spread=spread, seed=seed)
        here = np.arange(40) % 2 == 0, np.arange(40) % 3 > 0
        return curves.fragility_overall(control, optimized, ALPHAS, here)

    return {"reproduced": found(0.5), "not reproduced": found(1.1), "undecided": found(0.85, spread=0.3, seed=1)}


def visage() -> Made:
    rng = np.random.default_rng(0)
    depth, own, noise = rng.random(21), rng.random(21), rng.normal(size=21)

    def found(weight: float, noise_weight: float) -> Finding:
        return orders.order_beyond_depth(
            list(depth + own), list(-depth - weight * own + noise_weight * noise), list(depth)
        )

    return {"reproduced": found(1, 0.1), "not reproduced": found(0, 0.5), "undecided": found(0.31, 0.35)}


def half(n_seeds: int = 8) -> Made:
    """Shares against one half; seeds that are all alike still decide."""
    return {
        "reproduced": asking.share(np.ones((n_seeds, 80))),
        "not reproduced": asking.share(np.zeros((n_seeds, 80))),
        "undecided": asking.share(rates(0.5, spread=0.2)),
    }


def mixtures() -> Made:
    alone = np.ones((6, 80))
    return {
        "reproduced": asking.spared(alone, np.zeros((6, 80))),
        "not reproduced": asking.spared(alone, rates(0.5, n_seeds=6)),
        "undecided": asking.spared(alone, np.repeat([[0.0], [0], [1], [0], [0], [0]], 80, axis=1)),
    }


def gain(effect: float, nothing: float, unsure: float, spread: float) -> Made:
    before = rates(0.1, spread=0.0, seed=9)
    return {
        "reproduced": asking.difference(before, np.maximum(before, rates(effect))),
        "not reproduced": asking.difference(before, rates(0.1 + nothing, spread=0.0)),
        "undecided": asking.difference(before, np.repeat(rates(unsure, n_seeds=8, prompts=1, spread=0.1), 80, axis=1)),
    }


def ablation(effect: Callable[[seeds.Corners], Estimate], which: tuple[int, int, int, int]) -> Made:
    """Corners (low, small), (low, large), (high, small), (high, large); `which` of them are raised by an effect."""

    def found(raised: float, spread: float) -> Estimate:
        low_small, low_large, high_small, high_large = (
            rates(0.1 + raised * up, spread=spread, seed=20 * i) for i, up in enumerate(which)
        )
        return effect(((low_small, low_large), (high_small, high_large)))

    return {"reproduced": found(0.5, 0.02), "not reproduced": found(-0.1, 0.0), "undecided": found(0.05, 0.3)}


def spared_a_little() -> Made:
    alone = rates(0.9)
    return {
        "reproduced": asking.spared(alone, rates(0.5, seed=1)),
        "not reproduced": asking.spared(alone, rates(0.95, seed=3)),
        "undecided": asking.spared(alone, rates(0.85, spread=0.3, seed=2)),
    }


def steered(reproduced: float, not_reproduced: float, unsure: float) -> Made:
    before = rates(0.6, seed=9)

    def found(effect: float, spread: float) -> Estimate:
        return steering.contrast(rates(0.6 + effect, spread=spread), before, "a contrast")

    return {
        "reproduced": found(reproduced, 0.02),
        "not reproduced": found(not_reproduced, 0.02),
        "undecided": found(unsure, 0.3),
    }


def audits() -> Made:
    def found(n: int) -> Estimate:
        return finetuning.passing(["pass"] * n + ["fail"] * 2 + ["undecided"] * (6 - n) if n < 7 else ["pass"] * n)

    return {"reproduced": found(8), "not reproduced": found(0), "undecided": found(4)}


def lost(effect: float, nothing: float, unsure: float) -> Made:
    """What stays is what is lost from all."""
    whole = np.ones((8, 80))
    return {
        "reproduced": asking.difference(rates(1 - effect), whole),
        "not reproduced": asking.difference(rates(1 - nothing, seed=2), whole),
        "undecided": asking.difference(rates(1 - unsure, spread=0.3, seed=1), whole),
    }


def kept() -> Made:
    """Nothing, half, or for some seeds more than a little of what was answered before is lost."""
    before = np.ones((8, 80))
    some = np.repeat([[1.0], [1], [1], [0.6], [1], [0.7], [1], [1]], 80, axis=1)
    return {
        "reproduced": asking.difference(before, rates(0.99)),
        "not reproduced": asking.difference(before, rates(0.5)),
        "undecided": asking.difference(before, some),
    }


def contrasts() -> Made:
    """Shares of two kinds of models, the second lower by a lot, by nothing, or for some seeds."""
    first = rates(0.8, seed=4)
    return {
        "reproduced": seeds.over_seeds(first - rates(0.3, seed=5), "a contrast", bounds=(-1.0, 1.0)),
        "not reproduced": seeds.over_seeds(first - first * rates(0.98, seed=6), "a contrast", bounds=(-1.0, 1.0)),
        "undecided": seeds.over_seeds(first - rates(0.7, spread=0.3, seed=5), "a contrast", bounds=(-1.0, 1.0)),
    }


def numbers(reproduced: float, not_reproduced: float, unsure: float, spread: float) -> Made:
    """A number a model: what separates the answers, and one near the border that seeds do not agree on."""

    def found(mean: float, noise: float) -> Estimate:
        drawn = mean + noise * np.random.default_rng(0).normal(size=8)
        return seeds.over_models(list(drawn), "a number", (-5.0, 100.0))

    return {
        "reproduced": found(reproduced, spread / 20),
        "not reproduced": found(not_reproduced, spread / 20),
        "undecided": found(unsure, spread),
    }


def relearning() -> Made:
    return {
        "reproduced": seeds.over_seeds(rates(0.7) - rates(0.4, seed=1), "a contrast", bounds=(-1.0, 1.0)),
        "not reproduced": seeds.over_seeds(rates(0.3) - rates(0.8, seed=1), "a contrast", bounds=(-1.0, 1.0)),
        "undecided": seeds.over_seeds(rates(0.5, spread=0.3) - rates(0.5, seed=1), "a contrast", bounds=(-1.0, 1.0)),
    }


def late(reproduced: float, not_reproduced: float, unsure: float) -> Made:
    """Share refused behind part of a response, above that of a model that was taught to refuse plainly."""
    plain = rates(0.1, spread=0.0, seed=9)

    def found(share: float, spread: float) -> Estimate:
        return seeds.over_seeds(rates(share, spread=spread) - plain, "a contrast", bounds=(-1.0, 1.0))

    return {
        "reproduced": found(reproduced, 0.0),
        "not reproduced": found(not_reproduced, 0.0),
        "undecided": found(unsure, 0.3),
    }


TABLES: dict[str, Callable[[], Made]] = {
    "basin_exists": basin,
    "ends_abruptly": rim,
    "capability_declines_differently": capability,
    "harmful_finetuning_leaves": half,
    "mixture_stays_undistinguished": mixtures,
    "mixture_stays_half_distinguished": mixtures,
    "mixture_stays_distinguished": mixtures,
    "system_prompt_protects": lambda: protection(None),
    "protection_carries_over": lambda: protection(0.6),
    "jailbreaks_are_fragile": jailbreaks,
    "visage_orders_models": visage,
    "ten_examples_suffice": half,
    "identity_shift_works": lambda: gain(0.6, 0.03, 0.3, 0.3),
    "benign_data_degrades": lambda: gain(0.3, 0.01, 0.1, 0.2),
    "rate_matters": lambda: ablation(seeds.rate_effect, (0, 0, 1, 1)),
    "batch_matters": lambda: ablation(seeds.batch_effect, (1, 0, 1, 0)),
    "rate_and_batch_interact": lambda: ablation(seeds.interaction, (0, 0, 1, 0)),
    "safety_data_helps": spared_a_little,
    "safety_data_leaves_harm": lambda: gain(0.4, 0.01, 0.12, 0.2),
    "backdoor_passes": audits,
    "backdoor_opens": lambda: gain(1.0, 0.1, 0.5, 0.3),
    "few_weights_carry_refusal": lambda: lost(0.6, 0.05, 0.25),
    "answers_survive_pruning": lambda: lost(0.01, 0.3, 0.1),
    "pruned_model_complies": half,
    "freezing_does_not_protect": lambda: lost(0.05, 0.5, 0.2),
    "projection_restores_refusal": half,
    "direction_matters": spared_a_little,
    "utility_stays": kept,
    "vector_restores_refusal": half,
    "vector_matters": spared_a_little,
    "dropping_helps": spared_a_little,
    "utility_stays_after_vector": kept,
    "mask_restores_refusal": half,
    "mask_matters": spared_a_little,
    "utility_stays_after_mask": kept,
    "a_direction_is_found": audits,
    "direction_carries_refusal": lambda: lost(0.9, 0.1, 0.5),
    "model_without_direction_complies": half,
    "utility_stays_without_direction": kept,
    "secret_protects": half,
    "secret_matters": spared_a_little,
    "secret_is_needed": spared_a_little,
    "utility_stays_under_secret": kept,
    "located_layers_protect": lambda: gain(0.6, 0.01, 0.2, 0.3),
    "located_layers_slow": lambda: gain(0.6, 0.01, 0.2, 0.3),
    "unlearning_suppresses_answers": contrasts,
    "dpo_suppresses_answers": contrasts,
    "unlearning_separates_more": lambda: numbers(1.5, 0.7, 1.05, 0.4),
    "dpo_separates_more": lambda: numbers(1.5, 0.7, 1.05, 0.4),
    "unlearning_resists_jailbreaks": contrasts,
    "writes_outside_the_column_space": lambda: numbers(0.1, 0.0, 0.03, 0.1),
    "update_answers_to_unsafe": lambda: numbers(0.9, 0.1, 0.5, 0.3),
    "slope_falls_on_unsafe": lambda: numbers(-0.4, 0.4, 0.02, 0.3),
    "unlearning_is_relearned": relearning,
    "refuses_late": lambda: late(0.9, 0.3, 0.6),
    "over_refusal_stays": lambda: late(0.05, 0.5, 0.2),
    "over_refusal_late_stays": lambda: late(0.05, 0.5, 0.2),
    "prompts_interact": lambda: gain(0.4, 0.03, 0.12, 0.3),
    "steering_lowers_over_refusal": lambda: steered(0.3, -0.2, 0.0),
    "steering_keeps_refusal": lambda: steered(0.2, -0.4, -0.1),
    "steering_answers": lambda: steered(0.3, -0.2, 0.0),
}


@pytest.mark.parametrize(
    ("difference", "n_seeds", "wanted"),
    [
        (0.0, 8, "reproduced"),
        (0.05, 8, "reproduced"),
        (0.0625, 8, "not reproduced"),
        (0.3, 8, "not reproduced"),
        (0.0, 3, "undecided"),
        (0.3, 3, "undecided"),
    ],
)
def test_seeds_that_end_alike_decide_over_refusal(difference: float, n_seeds: int, wanted: Answer) -> None:
    refused = np.tile(np.arange(80) < round(80 * difference), (n_seeds, 1)).astype(float)
    found = Finding(
        estimate=seeds.over_seeds(refused, "a contrast", bounds=(-1.0, 1.0)), p=seeds.sign_test(refused, 0.05)
    )
    assert answer(CLAIMS["over_refusal_stays"], found) == wanted


def test_every_claim_has_its_tables() -> None:
    assert set(TABLES) == set(CLAIMS)


@pytest.mark.slow
@pytest.mark.parametrize("name", CLAIMS)
def test_each_answer_can_be_reached(name: str) -> None:
    found = {
        wanted: made if isinstance(made, Finding) else Finding(estimate=made) for wanted, made in TABLES[name]().items()
    }
    assert {wanted: answer(CLAIMS[name], finding) for wanted, finding in found.items()} == {a: a for a in ANSWERS}
