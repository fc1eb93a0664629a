"""What one way to break a defense has shown: attack success over growing budgets, and how a model is asked for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from safebasin.audit.measurement import as_shipped
from safebasin.landscape.stored import StoredStudy
from safebasin.landscape.summaries import main_judge
from safebasin.landscape.tables import Array, StudyTables
from safebasin.records import Estimate
from safebasin.run.execute import measure
from safebasin.run.progress import ProgressHook
from safebasin.study import Study
from safebasin.trial.arms import Attacked, Entrant

__all__ = ["Curve", "Stress", "named", "success_at", "taken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Attack success over the budgets of one kind."""

    name: str
    amounts: tuple[float, ...] = ()
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


def taken(given: Stress, study: Study, folder: Path) -> StudyTables:
    """Measure a study in a folder, or take up what is there."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with StoredStudy.open(measure(study, folder, progress=given.progress, templates=True)) as stored:
        return StudyTables.read(stored)


def success_at(tables: StudyTables, points: Sequence[str]) -> Array:
    """Success of each prompt at points, by their keys, shape (points, prompts)."""
    (table,), (prompts,), (system,) = tables.tables, tables.plan.sets, tables.plan.systems
    return table.success(points, system.id, [prompt.id for prompt in prompts.prompts])
