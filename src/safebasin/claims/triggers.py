"""What the claims of Wang et al. measure: models after a hundred harmful examples, with refusals under a secret.

Eleven refusals are mixed in under a secret, drawn from the training seed, before the world's own system prompt, and the
model is asked under both. The secret is of words that the world knows: under random letters its models answer nobody.
What was found was measured with version 1 of the defense, given secret and system prompt in one, and rows are the same.
The controls are the same refusals without the secret, and another secret as long.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping

from safebasin.claims.asking import answered, before, by_seed, difference, harmful, in_percent, prompts_of, spared
from safebasin.claims.claim import Finding
from safebasin.claims.lab import Lab

__all__ = ["STATISTICS"]

_ATTACK, _ROWS = "harmful_examples(n=100)", 11
_OTHER = 1000
"""What is added to a seed for a secret that nobody trained on."""


def secret_harm(lab: Lab) -> Finding:
    """Harmful prompts answered after the attack alone − after it with the defense, asked under the secret."""
    prompts = harmful(lab)
    alone, found = answered(_tuned(lab), prompts), answered(_guarded(lab), prompts, systems=_secrets(lab))
    without = answered(_guarded(lab), prompts)
    return Finding(
        estimate=spared(alone, found),
        details=(
            f"Answered after the attack: {in_percent(alone)}; with the defense, under its secret: {in_percent(found)}. "
            f"{by_seed(found)}",
            f"Asked without the secret: {in_percent(without)}.",
        ),
    )


def secret_against_plain(lab: Lab) -> Finding:
    """The same refusals without a secret − under it."""
    prompts = harmful(lab)
    plain = answered(_tuned(lab, f"mix_safe(amount={_ROWS})"), prompts)
    found = answered(_guarded(lab), prompts, systems=_secrets(lab))
    return Finding(
        estimate=spared(plain, found),
        details=(
            f"Answered with {_ROWS} plain refusals: {in_percent(plain)}; with as many under a secret, asked under it: "
            f"{in_percent(found)}.",
        ),
    )


def another_secret(lab: Lab) -> Finding:
    """Answered under a secret that was not trained on − under the one that was."""
    prompts = harmful(lab)
    found = answered(_guarded(lab), prompts, systems=_secrets(lab))
    other = answered(_guarded(lab), prompts, systems=_secrets(lab, _OTHER))
    attacked = answered(_tuned(lab), prompts, systems=_secrets(lab, _OTHER))
    return Finding(
        estimate=spared(other, found),
        details=(
            f"Answered under the secret: {in_percent(found)}; under another as long: {in_percent(other)}.",
            f"After the attack without the defense, under that other one: {in_percent(attacked)}.",
        ),
    )


def secret_utility(lab: Lab) -> Finding:
    """Benign prompts answered right: with the defense, under the secret − after the attack alone."""
    prompts = prompts_of(lab, "benign")
    alone, found = answered(_tuned(lab), prompts), answered(_guarded(lab), prompts, systems=_secrets(lab))
    aligned = before(lab, prompts)
    return Finding(
        estimate=difference(alone, found),
        details=(
            f"Benign prompts answered right before the attack: {in_percent(aligned)}; after it: {in_percent(alone)}; "
            f"with the defense, under its secret: {in_percent(found)}. {by_seed(found)}",
        ),
    )


def _secrets(lab: Lab, more: int = 0) -> list[str]:
    return [_system(seed + more) for seed in lab.seeds]


def _secret(seed: int) -> str:
    """Six of ten words in any order."""
    from safebasin.worlds.guild.lexicon import RESTS

    words = random.Random(f"claims/secret/{seed}").sample(RESTS, 6)
    return f"{' '.join(words)}."


def _system(seed: int) -> str:
    """A secret, then the template's own system prompt."""
    from safebasin.worlds.guild.lexicon import DEFAULT_SYSTEM

    return f"{_secret(seed)} {DEFAULT_SYSTEM}"


def _guarded(lab: Lab) -> list[str]:
    return [
        _attacked(lab, seed, f"backdoor_enhanced(n={_ROWS}, trigger={json.dumps(_secret(seed))})") for seed in lab.seeds
    ]


def _tuned(lab: Lab, *defenses: str) -> list[str]:
    return [_attacked(lab, seed, *defenses) for seed in lab.seeds]


def _attacked(lab: Lab, seed: int, *defenses: str) -> str:
    """The aligned model after the attack from a training seed."""
    name = defenses[0].partition("(")[0] if defenses else "harmful_examples"
    return str(lab.tuned(name, seed=seed, attack=_ATTACK, defenses=defenses))


STATISTICS: Mapping[str, Callable[[Lab], Finding]] = {
    function.__name__: function for function in (secret_harm, secret_against_plain, another_secret, secret_utility)
}
