"""Steps of the attack as the budget: under a defense in force, and without it on what it left; from each seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np

from safebasin import catalog
from safebasin.edits.defended import defend
from safebasin.edits.point import write_point
from safebasin.landscape.tables import Array
from safebasin.models.reference import resolve
from safebasin.models.writing import RECORD
from safebasin.protocols import Attack, RowSource
from safebasin.records import Point, TrainingRow
from safebasin.study import AxisSpec
from safebasin.trial.arms import Entrant, train, world_of
from safebasin.trial.curves import Curve, Stress, asked_along, curve_along, named
from safebasin.trial.records import NONE

__all__ = ["amounts_of", "steps_after", "steps_under"]


def amounts_of(steps: int) -> tuple[float, ...]:
    """Steps at which a model is asked: 0, 1, 2, 4, … up to a number of at least 1."""
    return (0.0, *(float(2**power) for power in range(steps.bit_length())))


def steps_under(given: Stress, entrant: Entrant) -> Curve:
    """The attack with the defense in force. What works on weights does so after each number of steps."""
    trains = entrant.stage in ("alignment", "finetuning")
    slug = entrant.slug if trains else Entrant(name=NONE).slug
    names = (entrant.name,) if trains else ()
    outs = {seed: given.folder / slug / _of_seed(given, f"steps-{given.steps}", seed) for seed in given.seeds}
    for seed, out in outs.items():
        _trained(given, out, names, seed)

    def target(seed: int, steps: int) -> Path:
        made = outs[seed] / f"checkpoint-{steps}"
        return _defended(given, entrant, made, seed) if entrant.stage == "post_finetuning" else made

    return _asked_at(given, entrant, "steps", given.asked.base, target)


def steps_after(given: Stress, entrant: Entrant, tuned: Path) -> Curve:
    """The attack once more, on what the defense left, without it. An adapter is first merged into its base."""
    own = given.folder / entrant.slug
    model = tuned
    if (tuned / "adapter_config.json").is_file():
        model = own / "merged"
        if not (model / RECORD).is_file():
            write_point(resolve(named(given, tuned)), Point(), model, where={"stress": "more_steps"})
    attack = _AsOnBase(base=given.asked.base, attack=cast("Attack", catalog.create("attack", given.asked.attack)))
    outs = {seed: own / _of_seed(given, f"more-steps-{given.steps}", seed) for seed in given.seeds}
    for seed, out in outs.items():
        _trained(given, out, (), seed, model=str(model), attack=attack)
    return _asked_at(given, entrant, "more_steps", str(model), lambda seed, steps: outs[seed] / f"checkpoint-{steps}")


def _of_seed(given: Stress, name: str, seed: int) -> str:
    """Name of a folder of a seed; that of the comparison itself has none."""
    return name if seed == given.asked.seed else f"{name}-seed-{seed}"


def _trained(
    given: Stress, out: Path, names: Sequence[str], seed: int, *, model: str | None = None, attack: Attack | None = None
) -> None:
    """The attack from a seed, with what it has made after each number of steps as `checkpoint-STEPS`."""
    most = int(amounts_of(given.steps)[-1])
    asked = replace(given.asked, seed=seed)
    train(asked, out, names, model=model, attack=attack, steps=most, save="doubling")


def _defended(given: Stress, entrant: Entrant, tuned: Path, seed: int) -> Path:
    """What a defense of weights leaves of a checkpoint."""
    out = given.folder / entrant.slug / _of_seed(given, f"defended-{given.steps}", seed) / tuned.name
    if not (out / RECORD).is_file():
        defend(str(tuned), resolve(given.asked.base), [entrant.name], out, seed=seed)
    return out


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


def _asked_at(given: Stress, entrant: Entrant, name: str, model: str, target: Callable[[int, int], Path]) -> Curve:
    """A model, and those that lie at the end of lines from it, by seed and steps: all in one study."""
    amounts = amounts_of(given.steps)
    several = f"-{len(given.seeds)}-seeds" if len(given.seeds) > 1 else ""
    folder = f"asked-{name}-{given.steps}{several}"

    def ask(places: Sequence[int]) -> Array:
        steps = [int(amounts[place]) for place in places[1:]]
        axes = {
            _of_seed(given, f"checkpoint-{number}", seed): _axis(target(seed, number))
            for seed in given.seeds
            for number in steps
        }
        origin, *ends = asked_along(given, entrant, model, folder, axes)
        by_seed = np.asarray(ends).reshape(len(given.seeds), len(steps), -1)
        success = np.stack([np.vstack([origin, rows]) for rows in by_seed])
        return success if several else success[0]

    return curve_along(name, amounts, ask)


def _axis(target: Path) -> AxisSpec:
    is_adapter = (target / "adapter_config.json").is_file()
    return AxisSpec(kind="adapter" if is_adapter else "to", target=str(target), range="0:1:2")
