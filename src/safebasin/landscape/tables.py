"""Stored verdicts as arrays, the way the statistics take them: 1 success, 0 none, NaN missing. No estimates here.

On a region that is sampled adaptively, what was not measured is interpolated linearly between what was, prompt by
prompt, so that the curve of the filled array is the interpolated curve.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from safebasin import stats
from safebasin.errors import StudyError, expected
from safebasin.landscape.last_plan import JudgeVersion
from safebasin.landscape.stored import StoredStudy
from safebasin.records import Place, Point, Region, System
from safebasin.store.rows import PlanRows
from safebasin.store.values import StoredVerdict
from safebasin.study.plan import Plan, PromptSet

Array = NDArray[np.float64]
_NONE = StoredVerdict(point="", prompt="", system="", label="unscored", success=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictTable:
    """The verdicts of one judge by (point, system, prompt)."""

    judge: str
    verdicts: Mapping[tuple[str, str, str], StoredVerdict]

    @classmethod
    def read(cls, rows: PlanRows, judge: JudgeVersion) -> VerdictTable:
        """The table of a judge, by name and version."""
        return cls(judge=judge[0], verdicts={(v.point, v.system, v.prompt): v for v in rows.verdicts(*judge)})

    def success(self, points: Sequence[str], system: str, prompts: Sequence[str]) -> Array:
        """1 success, 0 none, NaN missing. Shape (points, prompts)."""
        found = [[self.verdicts.get((point, system, p), _NONE).success for p in prompts] for point in points]
        numbers = [[math.nan if success is None else float(success) for success in row] for row in found]
        return np.asarray(numbers, dtype=np.float64).reshape(len(points), len(prompts))

    def held(self, labels: Collection[str]) -> VerdictTable:
        """The same responses, a success where the label is one of these; unscored ones stay missing."""
        verdicts = {
            place: replace(v, success=None if v.label == "unscored" else v.label in labels)
            for place, v in self.verdicts.items()
        }
        return VerdictTable(judge=self.judge, verdicts=verdicts)

    def labels(self, points: Sequence[str], system: str, prompts: Sequence[str]) -> NDArray[np.str_]:
        """Outcomes, `unscored` where there is none. Shape (points, prompts)."""
        rows = [[self.verdicts.get((point, system, p), _NONE).label for p in prompts] for point in points]
        return np.asarray(rows, dtype=np.str_).reshape(len(points), len(prompts))

    def counts(self, point: str, system: str, prompts: Sequence[str]) -> Counter[str]:
        """Counts by outcome at one point."""
        return Counter(self.verdicts.get((point, system, prompt), _NONE).label for prompt in prompts)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyTables:
    """The verdicts of a stored study: each judge's table, and the questions of each panel."""

    plan: Plan
    tables: tuple[VerdictTable, ...]
    """One per judge, in the study's order."""

    @classmethod
    def read(cls, study: StoredStudy) -> StudyTables:
        """The tables of a study's judges.

        Raises:
            StudyError: where the folder holds a shard of the study.
        """
        if study.plan.shard is not None:
            what, remedy = f"{study.folder}, shard {study.plan.shard}", "Join all of them: safebasin merge DIR… -o OUT."
            raise StudyError(expected("study folder", "one that holds all points of its study", what, remedy))
        return cls(plan=study.plan, tables=tuple(VerdictTable.read(study.rows, judge) for judge in study.judges))

    def table(self, judge: str) -> VerdictTable:
        """The table of a judge, by name."""
        return next(table for table in self.tables if table.judge == judge)

    def grids(self) -> Iterator[Grid]:
        """The questions of every panel: region by region, set by set, system prompt by system prompt."""
        for region in self.plan.regions:
            for prompts in self.plan.sets:
                for system in self.plan.systems:
                    yield self.grid(region, system, prompts)

    def grid(self, region: Region, system: System, prompts: PromptSet) -> Grid:
        """The questions of one panel."""
        return Grid(region=region, places=self.plan.places(region), system=system, prompts=prompts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The questions of one panel: a region at its grid, a system prompt and a prompt set."""

    region: Region
    places: tuple[Place, ...]
    """What is measured of it, the origin left out."""
    system: System
    prompts: PromptSet

    @property
    def ids(self) -> tuple[str, ...]:
        """`Prompt.id`s, in the order of the set: the last axis of every array."""
        return tuple(prompt.id for prompt in self.prompts.prompts)

    @property
    def alphas(self) -> tuple[Array, ...]:
        """The coordinates of each axis."""
        return tuple(np.asarray(axis.alphas) for axis in self.region.axes)

    def origin(self, table: VerdictTable) -> Array:
        """Success of each prompt at θ₀, shape (prompts,)."""
        return table.success([Point().key], self.system.id, self.ids)[0]

    def measured(self, table: VerdictTable) -> Array:
        """Success at every measured place, shape (places, prompts): for counts, not for curves."""
        return table.success([self.region.point(p).key for p in self.places], self.system.id, self.ids)

    def success(self, table: VerdictTable) -> Array:
        """Success over the grid, shape (directions, alphas, prompts) or (directions, alphas, betas, prompts)."""
        rows = [self._direction(table, direction) for direction in range(self.region.n_directions)]
        return np.stack(rows)

    def _direction(self, table: VerdictTable, direction: int) -> Array:
        places = [p for p in self.places if p.direction == direction]
        if self.region.points == "grid":
            keys = {p.coords: self.region.point(p).key for p in places}
            every = [keys.get(coords, Point().key) for coords in self._coords()]
            return table.success(every, self.system.id, self.ids).reshape(*self.region.shape, -1)
        places.append(Place(direction=-1, coords=self.region.origin.coords))
        places.sort(key=lambda p: p.coords)
        success = table.success([self.region.point(p).key for p in places], self.system.id, self.ids)
        coords = np.asarray([p.coords for p in places])
        if self.region.is_plane:
            alphas, betas = self.alphas
            return stats.fill_plane(alphas, betas, coords, success)
        return stats.fill_line(self.alphas[0], coords[:, 0], success)

    def labels(self, table: VerdictTable) -> NDArray[np.str_]:
        """Outcomes over the grid of a line, shape (directions, alphas, prompts); empty where nothing was asked."""
        shape = (self.region.n_directions, *self.region.shape, len(self.ids))
        found = np.full(shape, "", dtype="<U16")
        index = {coords: i for i, coords in enumerate(self._coords())}
        flat = found.reshape(shape[0], -1, shape[-1])
        origin = table.labels([Point().key], self.system.id, self.ids)[0]
        if self.region.origin.coords in index:
            flat[:, index[self.region.origin.coords]] = origin
        for place in self.places:
            key = self.region.point(place).key
            flat[place.direction, index[place.coords]] = table.labels([key], self.system.id, self.ids)[0]
        return found

    def _coords(self) -> list[tuple[float, ...]]:
        if self.region.is_plane:
            return [(a, b) for a in self.region.axes[0].alphas for b in self.region.axes[1].alphas]
        return [(a,) for a in self.region.axes[0].alphas]
