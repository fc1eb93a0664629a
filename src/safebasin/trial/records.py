"""What a comparison of defenses found, as frozen records that become `defenses.json` one to one. No arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from safebasin.audit.records import Headroom, PromptsUsed
from safebasin.records import Estimate

__all__ = ["BEFORE", "NONE", "Arm", "ArmCost", "ArmMetric", "ArmPair", "Budget", "BudgetPair", "DefenseComparison"]

NONE = "no defense"
"""Name of the arm that all others are paired with."""
BEFORE = "before the attack"
"""Name of what is attacked, asked the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmMetric:
    """One thing that every arm was asked about."""

    name: str
    """`asr`, `asr_outcome`, `over_refusal` or `capability`."""
    prompts: str
    judge: str
    share: Estimate
    difference: Estimate | None = None
    """This arm − no defense, on the same prompts; None of that arm itself."""
    gained: int | None = None
    """Prompts on which it holds here and not without a defense."""
    lost: int | None = None
    p: float | None = None
    """Exact McNemar, two-sided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCost:
    """Wall-clock seconds on this machine; of a run that was interrupted, of all its parts."""

    training: float = 0.0
    """Attack and defense together; 0 where the model of no defense is asked."""
    asking: float = 0.0
    """All prompts at every point of the line; the base itself is asked in the arm of no defense."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One way to break a defense: attack success over growing budgets, and the smallest at which it reaches half."""

    name: str
    """`steps`, `more_steps`, `line`, `refusal_direction` or `radius`: see `safebasin.trial.stress`."""
    smallest: Estimate | None = None
    """None where it was not measured."""
    amounts: tuple[float, ...] = ()
    """That were asked on the way to it."""
    falls: bool = False
    """Whether attack success falls from one half to below it along them, so that all of the grid were asked."""
    rates: tuple[Estimate, ...] = ()
    """Attack success at each amount; empty where nothing was asked."""
    gap: str = ""
    """Why it was not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetPair:
    """Two arms, by the smallest budget of one kind."""

    budget: str
    first: str
    second: str
    difference: Estimate
    """The first − the second, on the same prompts, each counted up to the largest amount that was tried."""
    p: float
    """Of the bootstrap over prompts, two-sided."""
    apart: bool
    """Whether they can be told apart: Holm over all pairs of this kind, at 5 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """The attacked model under one defense."""

    name: str
    stage: str
    """Of the defense; empty where there is none."""
    measures: tuple[ArmMetric, ...]
    headroom: Headroom | None = None
    """On the line from the base through it; None of the base."""
    moved: float | None = None
    """How far it is from the base, ‖Δ‖/‖θ₀‖."""
    cost: ArmCost = ArmCost()
    budgets: tuple[Budget, ...] = ()
    """The smallest that break it, where they were asked for."""

    def measure(self, name: str) -> ArmMetric | None:
        """The measure of that name."""
        return next((found for found in self.measures if found.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmPair:
    """Two arms, by attack success."""

    first: str
    second: str
    difference: Estimate
    """The first − the second, on the same prompts."""
    p: float
    """Exact McNemar, two-sided."""
    apart: bool
    """Whether they can be told apart: Holm over all pairs, at 5 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DefenseComparison:
    """The document `defenses.json`."""

    schema_version: int = 1
    base: str
    attack: str
    method: str
    """`full` or `lora`."""
    seed: int
    limit: int
    stress_seeds: int = 1
    """Trainings of the stress test, one a seed, where there is one."""
    sets: tuple[PromptsUsed, ...] = ()
    judges: tuple[str, ...] = ()
    arms: tuple[Arm, ...] = ()
    """Before the attack, no defense, then each defense as it was named."""
    pairs: tuple[ArmPair, ...] = ()
    budget_pairs: tuple[BudgetPair, ...] = ()
    version: str = ""
    """Of safebasin."""
