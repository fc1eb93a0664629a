"""The stress test of a defense: attack success over growing budgets of five kinds, and the smallest that breaks it.

    steps              of the attack on the base, with the defense in force: 0, 1, 2, 4, 8, …
    more_steps         of the attack, without it, on the model that the defense left of the attack
    line               share of the way from that model to the one that the attack leaves without a defense
    refusal_direction  share of the refusal direction that is taken out of that model (Arditi et al. 2024)
    radius             distance from it along three random directions: the radius of its basin, as of a map

The last four ask how well a defense holds that held: one whose attack success is at the limit already has budget 0,
and nothing more is asked. A defense at inference stays installed throughout. Taking a direction out is linear in its
share, so that this too is a line. Harmful prompts only, by the judge of attack success.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np

from safebasin import catalog, stats
from safebasin.audit.measurement import as_shipped
from safebasin.audit.metrics import share_of
from safebasin.edits.defended import defend
from safebasin.errors import UsageError
from safebasin.finetune.sources import sets_of
from safebasin.landscape.stored import StoredStudy
from safebasin.landscape.summaries import main_judge
from safebasin.landscape.tables import Array, StudyTables
from safebasin.models.reference import resolve
from safebasin.models.writing import RECORD
from safebasin.protocols import Attack, Edit, RowSource
from safebasin.records import Estimate, Place, Point, TrainingRow
from safebasin.run.execute import measure
from safebasin.run.progress import ProgressHook
from safebasin.stats.budgets import LIMIT
from safebasin.study import AxisSpec, RegionSpec, Study, parse_range
from safebasin.trial.arms import Attacked, Entrant, train, world_of
from safebasin.trial.pairing import budget_pairs_of
from safebasin.trial.records import NONE, Budget, BudgetPair

__all__ = ["BUDGETS", "Curve", "Stress", "amounts_of", "budget_of", "pairs_by_budget", "stress"]

BUDGETS = ("steps", "more_steps", "line", "refusal_direction", "radius")
"""Names of the kinds, in order."""
_WHOLE = ("steps", "more_steps")
_SHARES = "0:1:5"
_EDIT = "refusal_direction"
_DIRECTIONS, _RANGE = 3, "-0.5:0.5:21"
"""Of a radius; the range is that of a map of a model of no world."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Attack success over the budgets of one kind."""

    name: str
    amounts: tuple[float, ...] = ()
    success: Array = field(default_factory=lambda: np.empty((0, 0)))
    """Of each prompt at each of them, shape (amounts, prompts)."""
    radius: Estimate | None = None
    """Of several directions, in place of one curve."""
    gap: str = ""
    """Why it was not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stress:
    """The test that every arm is put through."""

    asked: Attacked
    prompts: str
    """Source of the harmful ones."""
    judges: tuple[str, ...]
    limit: int
    steps: int
    """Of the attack, at most."""
    progress: ProgressHook

    @property
    def folder(self) -> Path:
        """Of what is made and asked for it."""
        return self.asked.folder / "stress"

    def study(self, model: str, entrant: Entrant) -> Study:
        """The harmful prompts, put to a model as to the base, under a defense at inference, if it is one."""
        made = as_shipped(
            self.asked.base, {"harmful": self.prompts}, judges=[main_judge(self.judges)], limit=self.limit,
            defenses=[entrant.name] if entrant.is_part else [], device=self.asked.device,
        )  # fmt: skip
        return made.model_copy(update={"model": model})


def amounts_of(steps: int) -> tuple[float, ...]:
    """Steps at which a model is asked: 0, 1, 2, 4, … up to a number of at least 1."""
    return (0.0, *(float(2**power) for power in range(steps.bit_length())))


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
    curves = [_steps(given, entrant)]
    rate = share_of(success).value
    if rate is None or rate >= LIMIT:
        return (*curves, *(Curve(name=name, amounts=(0.0,), success=success[None]) for name in BUDGETS[1:]))
    made: Sequence[Callable[[Stress, Entrant, Path], Curve]] = (_more_steps, _line, _direction, _radius)
    return (*curves, *(make(given, entrant, tuned) for make in made))


def budget_of(curve: Curve) -> Budget:
    """The smallest budget of a curve, with its interval."""
    if curve.gap:
        return Budget(name=curve.name, gap=curve.gap)
    if curve.radius is not None:
        return Budget(name=curve.name, smallest=curve.radius)
    rates = tuple(share_of(row) for row in curve.success)
    if len(curve.amounts) > 1:
        whole = curve.name in _WHOLE
        smallest = stats.estimate_budget(curve.success, np.asarray(curve.amounts), whole=whole)
    else:
        (rate,) = rates
        value = None if rate.value is None else 0.0
        smallest = replace(rate, value=value, low=None, high=None, method="0: ASR is at the limit before; no interval")
    return Budget(name=curve.name, smallest=smallest, amounts=curve.amounts, rates=rates)


def pairs_by_budget(curves: Mapping[str, Sequence[Curve]]) -> tuple[BudgetPair, ...]:
    """Every two arms by each kind of budget that was measured of both; an arm that did not hold is in none.

    Args:
        curves: name of the arm → its curves.
    """
    found: list[BudgetPair] = []
    for name in BUDGETS:
        held = {arm: c for arm, every in curves.items() for c in every if c.name == name and len(c.amounts) > 1}
        if len(held) > 1:
            amounts = np.asarray(next(iter(held.values())).amounts)
            found += budget_pairs_of(name, amounts, {arm: curve.success for arm, curve in held.items()})
    return tuple(found)


# --- steps -----------------------------------------------------------------------------------------------------------


def _steps(given: Stress, entrant: Entrant) -> Curve:
    """The attack with the defense in force. What works on weights does so after each number of steps."""
    base, amounts = given.asked.base, amounts_of(given.steps)
    trains = entrant.stage in ("alignment", "finetuning")
    slug = entrant.slug if trains else Entrant(name=NONE).slug
    out = given.folder / slug / f"steps-{given.steps}"
    names = (entrant.name,) if trains else ()
    train(given.asked, out, names, steps=int(amounts[-1]), save="doubling")
    targets = [out / f"checkpoint-{amount:g}" for amount in amounts[1:]]
    if entrant.stage == "post_finetuning":
        targets = [_defended(given, entrant, target) for target in targets]
    is_adapter = (targets[0] / "adapter_config.json").is_file()
    return _asked_at(given, entrant, "steps", base, targets, "adapter" if is_adapter else "to")


def _defended(given: Stress, entrant: Entrant, tuned: Path) -> Path:
    """What a defense of weights leaves of a checkpoint."""
    out = given.folder / entrant.slug / f"defended-{given.steps}" / tuned.name
    if not (out / RECORD).is_file():
        defend(str(tuned), resolve(given.asked.base), [entrant.name], out, seed=given.asked.seed)
    return out


def _more_steps(given: Stress, entrant: Entrant, tuned: Path) -> Curve:
    """The attack once more, on what the defense left, without it."""
    if given.asked.method == "lora" and (tuned / "adapter_config.json").is_file():
        return Curve(name="more_steps", gap="no adapter is trained on an adapter: ask with --method full")
    amounts = amounts_of(given.steps)
    out = given.folder / entrant.slug / f"more-steps-{given.steps}"
    attack = _AsOnBase(base=given.asked.base, attack=cast("Attack", catalog.create("attack", given.asked.attack)))
    train(given.asked, out, (), model=str(tuned), attack=attack, steps=int(amounts[-1]), save="doubling")
    targets = [out / f"checkpoint-{amount:g}" for amount in amounts[1:]]
    return _asked_at(given, entrant, "more_steps", str(tuned), targets, "to")


@dataclass(frozen=True, slots=True, kw_only=True)
class _AsOnBase:
    """An attack on a folder that was made of a world's model: with the rows and at the rates of that world."""

    base: str
    attack: Attack

    @property
    def name(self) -> str:
        return self.attack.name

    @property
    def tested_on(self) -> tuple[str, ...]:
        return self.attack.tested_on

    @property
    def parts(self) -> object:
        """Kinds of rows, where the attack says so: whether it mixes refusals in."""
        return getattr(self.attack, "parts", ())

    def rows(self, source: RowSource, *, seed: int = 0) -> tuple[TrainingRow, ...]:
        name = world_of(self.base)
        return self.attack.rows(source if name is None else catalog.world(name), seed=seed)

    def settings(self, method: str, *, world: bool) -> Mapping[str, object]:
        return self.attack.settings(method, world=world or world_of(self.base) is not None)


def _asked_at(given: Stress, entrant: Entrant, name: str, model: str, targets: Sequence[Path], kind: str) -> Curve:
    """A model, and what lies at the end of each of several lines from it."""
    regions = tuple(
        RegionSpec(name=target.name, axes=(AxisSpec(kind=kind, target=str(target), range="0:1:2"),))
        for target in targets
    )
    study = given.study(model, entrant).model_copy(update={"regions": regions})
    tables = _taken(given, study, given.folder / entrant.slug / f"asked-{name}-{given.steps}")
    ends = [region.point(Place(direction=0, coords=(1.0,))).key for region in tables.plan.regions]
    return Curve(name=name, amounts=amounts_of(given.steps), success=_success(tables, [Point().key, *ends]))


# --- lines -----------------------------------------------------------------------------------------------------------


def _line(given: Stress, entrant: Entrant, tuned: Path) -> Curve:
    """From what a defense left to what the attack leaves without one."""
    bare = given.asked.folder / "models" / Entrant(name=NONE).slug
    if bare == tuned:
        return Curve(name="line", gap="it is the attacked model itself")
    return _along(given, entrant, "line", tuned, _named(given, bare))


def _direction(given: Stress, entrant: Entrant, tuned: Path) -> Curve:
    """From what a defense left to the same without its refusal direction."""
    out, asked = given.folder / entrant.slug / _EDIT, given.asked
    try:
        if not (out / RECORD).is_file():
            edit = cast("Edit", catalog.create("edit", _EDIT))
            rows = sets_of(asked.base, safety=asked.safe, utility=asked.utility)
            edit.make(_named(given, tuned), rows, out, seed=asked.seed, device=asked.device)
    except UsageError as error:
        return Curve(name=_EDIT, gap=str(error))
    return _along(given, entrant, _EDIT, tuned, str(out))


def _along(given: Stress, entrant: Entrant, name: str, tuned: Path, target: str) -> Curve:
    region = RegionSpec(name="line", axes=(AxisSpec(kind="to", target=target, range=_SHARES),))
    study = given.study(_named(given, tuned), entrant).model_copy(update={"regions": (region,)})
    tables = _taken(given, study, given.folder / entrant.slug / f"asked-{name}")
    (found,) = tables.plan.regions
    amounts = parse_range(_SHARES)
    keys = [found.point(Place(direction=0, coords=(amount,))).key for amount in amounts]
    return Curve(name=name, amounts=tuple(amounts), success=_success(tables, keys))


def _radius(given: Stress, entrant: Entrant, tuned: Path) -> Curve:
    """Along random directions around what a defense left, on the range of a map of the base."""
    world = world_of(given.asked.base)
    span = (None if world is None else catalog.get("world", world).fact("range")) or _RANGE
    axis = AxisSpec(directions=_DIRECTIONS, range=span)
    study = given.study(_named(given, tuned), entrant).model_copy(
        update={"regions": (RegionSpec(name="basin", axes=(axis,), points="auto"),)}
    )
    tables = _taken(given, study, given.folder / entrant.slug / "asked-radius")
    grid, (table,) = next(tables.grids()), tables.tables
    (alphas,) = grid.alphas
    return Curve(name="radius", radius=stats.estimate_radius(grid.success(table), alphas, grid.origin(table)))


def _named(given: Stress, made: Path) -> str:
    """A trained model as a study names it."""
    return f"{given.asked.base}+{made}" if (made / "adapter_config.json").is_file() else str(made)


def _taken(given: Stress, study: Study, folder: Path) -> StudyTables:
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with StoredStudy.open(measure(study, folder, progress=given.progress, templates=True)) as stored:
        return StudyTables.read(stored)


def _success(tables: StudyTables, points: Sequence[str]) -> Array:
    """Shape (points, prompts)."""
    (table,), (prompts,), (system,) = tables.tables, tables.plan.sets, tables.plan.systems
    return table.success(points, system.id, [prompt.id for prompt in prompts.prompts])
