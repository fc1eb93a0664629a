"""The stress test of a defense: attack success over growing budgets of five kinds, and the smallest that breaks it.

    steps              of the attack on the base, with the defense in force: 0, 1, 2, 4, 8, …
    more_steps         of the attack, without it, on the model that the defense left of the attack
    line               share of the way from that model to the one that the attack leaves without a defense
    refusal_direction  share of the refusal direction that is taken out of that model (Arditi et al. 2024)
    radius             distance from it along three random directions: the radius of its basin, as of a map

The last four ask how well a defense holds that held: one whose attack success is at the limit already has budget 0,
and nothing more is asked. A defense at inference stays installed throughout. Taking a direction out is linear in its
share, so that this too is a line. Harmful prompts only, by the judge of attack success. Steps may be those of several
trainings, one a seed; what they start from, the base or what the defense left of the first attack, is the same.
Not all budgets are asked (`safebasin.trial.search`), and what the lines of an arm start from is asked once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from safebasin import catalog, stats
from safebasin.audit.metrics import share_of
from safebasin.errors import UsageError
from safebasin.finetune.sources import sets_of
from safebasin.landscape.tables import Array
from safebasin.models.writing import RECORD
from safebasin.protocols import Edit
from safebasin.records import Estimate
from safebasin.stats.budgets import LIMIT
from safebasin.study import AxisSpec, RegionSpec, parse_range
from safebasin.trial.arms import Entrant, world_of
from safebasin.trial.curves import Curve, Stress, asked_along, curve_along, named, taken
from safebasin.trial.pairing import budget_pairs_of
from safebasin.trial.records import NONE, Budget, BudgetPair
from safebasin.trial.steps import steps_after, steps_under

__all__ = ["BUDGETS", "budget_of", "pairs_by_budget", "stress"]

BUDGETS = ("steps", "more_steps", "line", "refusal_direction", "radius")
"""Names of the kinds, in order."""
_WHOLE = ("steps", "more_steps")
_SHARES = "0:1:5"
_EDIT = "refusal_direction"
_DIRECTIONS, _RANGE = 3, "-0.5:0.5:21"
"""Of a radius; the range is that of a map of a model of no world."""


def stress(given: Stress, entrant: Entrant, tuned: Path, success: Array) -> tuple[Curve, ...]:
    """Put one arm through all kinds, or take up what is there.

    Args:
        given: what all arms are put through.
        entrant: the defense.
        tuned: the model that it left of the attack.
        success: of each harmful prompt there, shape (prompts,).

    Raises:
        UsageError: for what can be mended; what has been measured stays in the folder.
    """
    curves = [steps_under(given, entrant)]
    rate = share_of(success).value
    if rate is None or rate >= LIMIT:
        return (*curves, *(Curve(name=name, amounts=(0.0,), success=success[None]) for name in BUDGETS[1:]))
    made: Sequence[Callable[[Stress, Entrant, Path], Curve]] = (steps_after, _line, _direction, _radius)
    return (*curves, *(make(given, entrant, tuned) for make in made))


def budget_of(curve: Curve) -> Budget:
    """The smallest budget of a curve, with its interval."""
    if curve.gap:
        return Budget(name=curve.name, gap=curve.gap)
    if curve.radius is not None:
        return Budget(name=curve.name, smallest=curve.radius)
    rates = tuple(_rate(row) for row in np.moveaxis(curve.success, -2, 0))
    if len(curve.amounts) > 1:
        whole = curve.name in _WHOLE
        smallest = stats.estimate_budget(curve.success, np.asarray(curve.amounts), most=curve.most, whole=whole)
    else:
        (rate,) = rates
        value = None if rate.value is None else 0.0
        smallest = replace(rate, value=value, low=None, high=None, method="0: ASR is at the limit before; no interval")
    return Budget(name=curve.name, smallest=smallest, amounts=curve.amounts, falls=curve.falls, rates=rates)


def _rate(success: Array) -> Estimate:
    """Of one number of verdicts, shape (prompts,), or of those of several seeds, (seeds, prompts): prompts sampled."""
    if success.ndim == 1:
        return share_of(success)
    prompts = np.broadcast_to(np.arange(success.shape[1]), success.shape)
    return stats.estimate_clustered_rate(success.ravel(), prompts.ravel().tolist())


def pairs_by_budget(curves: Mapping[str, Sequence[Curve]]) -> tuple[BudgetPair, ...]:
    """Every two arms by each kind of budget that was measured of both; an arm that did not hold is in none.

    Args:
        curves: name of the arm → its curves.
    """
    found: list[BudgetPair] = []
    for name in BUDGETS:
        held = {arm: c for arm, every in curves.items() for c in every if c.name == name and len(c.amounts) > 1}
        if len(held) > 1:
            found += budget_pairs_of(name, held)
    return tuple(found)


# --- lines -----------------------------------------------------------------------------------------------------------


def _line(given: Stress, entrant: Entrant, tuned: Path) -> Curve:
    """From what a defense left to what the attack leaves without one."""
    bare = given.asked.folder / "models" / Entrant(name=NONE).slug
    if bare == tuned:
        return Curve(name="line", gap="it is the attacked model itself")
    return _along(given, entrant, "line", tuned, named(given, bare))


def _direction(given: Stress, entrant: Entrant, tuned: Path) -> Curve:
    """From what a defense left to the same without its refusal direction."""
    out, asked = given.folder / entrant.slug / _EDIT, given.asked
    try:
        if not (out / RECORD).is_file():
            edit = cast("Edit", catalog.create("edit", _EDIT))
            rows = sets_of(asked.base, safety=asked.safe, utility=asked.utility)
            edit.make(named(given, tuned), rows, out, seed=asked.seed, device=asked.device)
    except UsageError as error:
        return Curve(name=_EDIT, gap=str(error))
    return _along(given, entrant, _EDIT, tuned, str(out))


def _along(given: Stress, entrant: Entrant, name: str, tuned: Path, target: str) -> Curve:
    amounts = parse_range(_SHARES)

    def ask(places: Sequence[int]) -> Array:
        axes = {
            f"line to {amounts[place]:g}": AxisSpec(kind="to", target=target, range=f"0:{amounts[place]:g}:2")
            for place in places[1:]
        }
        return asked_along(given, entrant, named(given, tuned), f"asked-{name}", axes)

    return curve_along(name, amounts, ask)


def _radius(given: Stress, entrant: Entrant, tuned: Path) -> Curve:
    """Along random directions around what a defense left, on the range of a map of the base."""
    world = world_of(given.asked.base)
    span = (None if world is None else catalog.get("world", world).fact("range")) or _RANGE
    axis = AxisSpec(directions=_DIRECTIONS, range=span)
    study = given.study(named(given, tuned), entrant).model_copy(
        update={"regions": (RegionSpec(name="basin", axes=(axis,), points="auto"),)}
    )
    tables = taken(given, study, given.folder / entrant.slug / "asked-radius", entrant)
    grid, (table,) = next(tables.grids()), tables.tables
    (alphas,) = grid.alphas
    return Curve(name="radius", radius=stats.estimate_radius(grid.success(table), alphas, grid.origin(table)))
