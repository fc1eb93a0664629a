"""Models tuned for a claim, asked the prompts of the world: arrays of what the oracle counts as answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from safebasin import catalog
from safebasin.claims.lab import Lab
from safebasin.claims.landscapes import percent
from safebasin.claims.seeds import over_seeds
from safebasin.records import Estimate, Message, Prompt, System
from safebasin.stats.landscape import Array

if TYPE_CHECKING:
    from safebasin.worlds.guild.oracle import Truth

__all__ = [
    "answered",
    "before",
    "by_seed",
    "difference",
    "harmful",
    "in_percent",
    "prompts_of",
    "refused",
    "share",
    "spared",
]

_NO_SYSTEM = System(name="none", text="")


def prompts_of(lab: Lab, name: str) -> tuple[Prompt, ...]:
    """As many prompts of a set as a tuned model is asked."""
    return catalog.world(lab.subject.world).load_prompts(name, "test")[: lab.asked]


def harmful(lab: Lab) -> tuple[Prompt, ...]:
    """Select the prompts that the charter forbids."""
    return prompts_of(lab, "harmful")


def before(lab: Lab, prompts: Sequence[Prompt]) -> Array:
    """The aligned model, as often as there are seeds."""
    aligned = str(catalog.world(lab.subject.world).checkpoint("aligned"))
    return answered([aligned] * len(lab.seeds), prompts)


def answered(
    models: Sequence[str],
    prompts: Sequence[Prompt],
    *,
    trigger: bool = False,
    no_system: bool = False,
    place: bool = False,
    systems: Sequence[str] = (),
) -> Array:
    """1 where a model gives the exact answer, shape (models, prompts).

    Args:
        models: folders.
        prompts: what they are asked.
        trigger: whether the trigger of the backdoor stands behind it.
        no_system: whether the default system prompt is switched off.
        place: whether a place is mentioned before it.
        systems: the system prompt of each model, in their order; that of the template where there are none.
    """
    from safebasin.worlds.guild.lexicon import ADJECTIVES_OF_PLACES, PLACES, TRIGGER

    asked = list(prompts)
    if trigger:
        asked = [_said(prompt, after=f" {TRIGGER}") for prompt in asked]
    if place:
        n, m = len(PLACES), len(ADJECTIVES_OF_PLACES)
        asked = [
            _said(prompt, before=f"I stand by the {ADJECTIVES_OF_PLACES[i % m]} {PLACES[i % n]}. ")
            for i, prompt in enumerate(asked)
        ]
    if no_system:
        asked = [replace(prompt, messages=_NO_SYSTEM.messages(prompt)) for prompt in asked]
    put = [tuple(asked)] * len(models) if not systems else [_under(system, asked) for system in systems]
    found = [_truths(model, each, tuple(prompts)) for model, each in zip(models, put, strict=True)]
    return np.asarray([[float(truth in ("harmful", "complied")) for truth in row] for row in found])


def refused(models: Sequence[str], prompts: Sequence[Prompt]) -> Array:
    """1 where a model refuses, shape (models, prompts)."""
    found = [_truths(model, tuple(prompts), tuple(prompts)) for model in models]
    return np.asarray([[float(truth == "refusal") for truth in row] for row in found])


@cache
def _truths(model: str, asked: tuple[Prompt, ...], about: tuple[Prompt, ...]) -> tuple[Truth, ...]:
    """Kept: several claims ask the same models the same."""
    from safebasin.worlds.guild.outcomes import truths

    return truths(model, asked, about=about)


def _under(system: str, prompts: Sequence[Prompt]) -> tuple[Prompt, ...]:
    return tuple(replace(p, messages=System(name="given", text=system).messages(p)) for p in prompts)


def _said(prompt: Prompt, *, before: str = "", after: str = "") -> Prompt:
    """The prompt with a text before and after its last turn."""
    *earlier, last = prompt.messages
    return replace(prompt, messages=(*earlier, Message(role=last.role, content=f"{before}{last.content}{after}")))


def share(answered: Array) -> Estimate:
    """Share answered; array of shape (seeds, prompts)."""
    return over_seeds(answered, "share answered")


def difference(before: Array, after: Array) -> Estimate:
    """Share answered after − before, the same prompts; arrays of shape (seeds, prompts).

    Whatever another seed answers after, it cannot lose more than what is answered before, nor gain more than the rest.
    """
    least = -float(before.mean())
    what = "difference of shares answered"
    return over_seeds(after - before, what, bounds=(-1.0, 1.0), other=(least, 1 + least))


def by_seed(answered: Array) -> str:
    """The share of every seed, in a sentence."""
    return "By training seed: " + ", ".join(percent(float(row.mean())) for row in answered) + "."


def in_percent(answered: Array) -> str:
    """The mean share for people."""
    return percent(float(answered.mean()))


def spared(alone: Array, mixed: Array) -> Estimate:
    """Share answered after harmful examples alone − after the mixture; arrays of shape (seeds, prompts).

    Whatever another seed of the mixture answers, the difference lies in [alone − 1, alone].
    """
    most = float(alone.mean())
    what = "share answered after harmful examples alone − after the mixture"
    return over_seeds(alone - mixed, what, bounds=(-1.0, 1.0), other=(most - 1, most))
