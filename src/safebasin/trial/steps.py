"""Steps of the attack as the budget: under a defense in force, and without it on what it left; from each seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np

from safebasin import catalog
from safebasin.edits.defended import defend
from safebasin.edits.point import write_point
from safebasin.models.reference import resolve
from safebasin.models.writing import RECORD
from safebasin.protocols import Attack, RowSource
from safebasin.records import Place, Point, TrainingRow
from safebasin.study import AxisSpec, RegionSpec
from safebasin.trial.arms import Entrant, train, world_of
from safebasin.trial.curves import Curve, Stress, named, success_at, taken
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
    targets: dict[int, Sequence[Path]] = {}
    for seed in given.seeds:
        out = given.folder / slug / _of_seed(given, f"steps-{given.steps}", seed)
        targets[seed] = _trained(given, out, names, seed)
        if entrant.stage == "post_finetuning":
            targets[seed] = [_defended(given, entrant, target, seed) for target in targets[seed]]
    return _asked_at(given, entrant, "steps", given.asked.base, targets)


def steps_after(given: Stress, entrant: Entrant, tuned: Path) -> Curve:
    """The attack once more, on what the defense left, without it. An adapter is first merged into its base."""
    own = given.folder / entrant.slug
    model = tuned
    if (tuned / "adapter_config.json").is_file():
        model = own / "merged"
        if not (model / RECORD).is_file():
            write_point(resolve(named(given, tuned)), Point(), model, where={"stress": "more_steps"})
    attack = _AsOnBase(base=given.asked.base, attack=cast("Attack", catalog.create("attack", given.asked.attack)))
    targets = {
        seed: _trained(
            given, own / _of_seed(given, f"more-steps-{given.steps}", seed), (), seed, model=str(model), attack=attack
        )
        for seed in given.seeds
    }
    return _asked_at(given, entrant, "more_steps", str(model), targets)


def _of_seed(given: Stress, name: str, seed: int) -> str:
    """Name of a folder of a seed; that of the comparison itself has none."""
    return name if seed == given.asked.seed else f"{name}-seed-{seed}"


def _trained(
    given: Stress, out: Path, names: Sequence[str], seed: int, *, model: str | None = None, attack: Attack | None = None
) -> list[Path]:
    """What the attack has made after each number of steps, from a seed."""
    amounts = amounts_of(given.steps)[1:]
    asked = replace(given.asked, seed=seed)
    train(asked, out, names, model=model, attack=attack, steps=int(amounts[-1]), save="doubling")
    return [out / f"checkpoint-{amount:g}" for amount in amounts]


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


def _asked_at(given: Stress, entrant: Entrant, name: str, model: str, targets: Mapping[int, Sequence[Path]]) -> Curve:
    """A model, and what lies at the end of each of several lines from it: all in one study, the model asked once."""
    regions = tuple(
        RegionSpec(name=_of_seed(given, target.name, seed), axes=(_axis(target),))
        for seed, every in targets.items()
        for target in every
    )
    study = given.study(model, entrant).model_copy(update={"regions": regions})
    several = f"-{len(targets)}-seeds" if len(targets) > 1 else ""
    tables = taken(given, study, given.folder / entrant.slug / f"asked-{name}-{given.steps}{several}")
    ends = iter([region.point(Place(direction=0, coords=(1.0,))).key for region in tables.plan.regions])
    success = np.stack([success_at(tables, [Point().key, *islice(ends, len(every))]) for every in targets.values()])
    return Curve(name=name, amounts=amounts_of(given.steps), success=success if several else success[0])


def _axis(target: Path) -> AxisSpec:
    is_adapter = (target / "adapter_config.json").is_file()
    return AxisSpec(kind="adapter" if is_adapter else "to", target=str(target), range="0:1:2")
