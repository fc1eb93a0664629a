"""What one way to break a defense has shown: attack success over growing budgets, and how a model is asked for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from safebasin.audit.measurement import as_shipped
from safebasin.landscape.stored import StoredStudy
from safebasin.landscape.summaries import main_judge
from safebasin.landscape.tables import Array, StudyTables
from safebasin.models.reference import resolve
from safebasin.records import Estimate, Place, Point
from safebasin.run.borrowing import borrow_origin
from safebasin.run.execute import measure
from safebasin.run.progress import ProgressHook
from safebasin.study import AxisSpec, RegionSpec, Study
from safebasin.trial.arms import Attacked, Entrant
from safebasin.trial.search import Ask, sought

__all__ = ["Curve", "Stress", "asked_along", "curve_along", "named", "taken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Attack success over the budgets of one kind."""

    name: str
    amounts: tuple[float, ...] = ()
    """That were asked."""
    most: float | None = None
    """The largest that might have been asked; the last of them if None."""
    falls: bool = False
    """Whether attack success falls from the limit to below it along them: then all of the grid were asked."""
    success: Array = field(default_factory=lambda: np.empty((0, 0)))
    """Of each prompt at each of them, shape (amounts, prompts); of several seeds, (seeds, amounts, prompts)."""
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
    n_seeds: int = 1
    """How many seeds the attack is trained from, where steps of it are what grows."""
    progress: ProgressHook

    @property
    def seeds(self) -> range:
        """The first is that of the comparison."""
        return range(self.asked.seed, self.asked.seed + self.n_seeds)

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


def named(given: Stress, made: Path) -> str:
    """A trained model as a study names it."""
    return f"{given.asked.base}+{made}" if (made / "adapter_config.json").is_file() else str(made)


def curve_along(name: str, amounts: Sequence[float], ask: Ask) -> Curve:
    """The curve of a kind over those of its budgets that tell the smallest that breaks a defense.

    Args:
        name: of the kind.
        amounts: the grid, ascending from 0.
        ask: success at places of it.
    """
    found = sought(ask, np.asarray(amounts))
    asked = tuple(amounts[place] for place in found.places)
    return Curve(name=name, amounts=asked, most=amounts[-1], falls=found.falls, success=found.success)


def taken(given: Stress, study: Study, folder: Path, entrant: Entrant) -> StudyTables:
    """Measure a study in a folder, or take up what is there.

    Where the folder has not begun, the answers of θ₀ are those of the first study of the same model that the arm has:
    that of its comparison, or of another budget.
    """
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    arm, fingerprint = given.asked.folder / "arms" / entrant.slug, resolve(study.model).fingerprint
    for lender in (*(arm / name for name in ("line", "base", "tuned")), *sorted(folder.parent.glob("asked-*"))):
        if lender != folder:
            borrow_origin(folder, lender, fingerprint)
    with StoredStudy.open(measure(study, folder, progress=given.progress, templates=True)) as stored:
        return StudyTables.read(stored)


def asked_along(given: Stress, entrant: Entrant, model: str, name: str, axes: Mapping[str, AxisSpec]) -> Array:
    """Success of each prompt at a model and at the far end of each of several lines from it, asked in one study.

    Args:
        given: the test.
        entrant: whose arm it is.
        model: where the lines begin.
        name: of the study's folder.
        axes: the lines by a name.

    Returns:
        Shape (1 + axes, prompts).
    """
    regions = tuple(RegionSpec(name=name, axes=(axis,)) for name, axis in axes.items())
    study = given.study(model, entrant).model_copy(update={"regions": regions})
    tables = taken(given, study, given.folder / entrant.slug / name, entrant)
    ends = [region.point(Place(direction=0, coords=region.axes[0].alphas[-1:])).key for region in tables.plan.regions]
    (table,), (prompts,), (system,) = tables.tables, tables.plan.sets, tables.plan.systems
    return table.success([Point().key, *ends], system.id, [prompt.id for prompt in prompts.prompts])
