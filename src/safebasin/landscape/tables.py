"""Stored verdicts as arrays, the way the statistics take them: 1 success, 0 none, NaN missing. No estimates here.

On a region that is sampled adaptively, what was not measured is interpolated linearly between what was, prompt by
prompt, so that the curve of the filled array is the interpolated curve. In fast mode a row of a point that was stopped
is completed first (`safebasin.stats.completing`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from safebasin import stats
from safebasin.errors import StudyError, expected
from safebasin.landscape.stored import StoredStudy
from safebasin.records import Place, Point, Region, System
from safebasin.store.verdict_arrays import NOTHING, UNSCORED, Codes, VerdictArrays, read_verdict_arrays
from safebasin.study.plan import Plan, PromptSet

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictTable:
    """The verdicts of one judge as arrays: a row a point, a column a question."""

    judge: str
    said: VerdictArrays

    @classmethod
    def of(cls, judge: str, verdicts: Mapping[tuple[str, str, str], tuple[str, bool | None]]) -> VerdictTable:
        """The table of some verdicts, label and success each by (point, system, prompt)."""
        points = {point: i for i, point in enumerate(dict.fromkeys(point for point, _, _ in verdicts))}
        questions = {question: i for i, question in enumerate(dict.fromkeys((s, p) for _, s, p in verdicts))}
        kinds = tuple(dict.fromkeys((NOTHING, *verdicts.values())))
        codes = np.zeros((len(points), len(questions)), dtype=np.uint16)
        for (point, system, prompt), kind in verdicts.items():
            codes[points[point], questions[system, prompt]] = kinds.index(kind)
        return cls(judge=judge, said=VerdictArrays(points=points, questions=questions, codes=codes, kinds=kinds))

    def success(self, points: Sequence[str], system: str, prompts: Sequence[str]) -> Array:
        """1 success, 0 none, NaN missing. Shape (points, prompts)."""
        told = np.asarray([np.nan if success is None else success for _, success in self.said.kinds], dtype=np.float64)
        return told[self._codes(points, system, prompts)]

    def held(self, labels: Collection[str]) -> VerdictTable:
        """The same responses, a success where the label is one of these; unscored ones stay missing."""
        kinds = ((label, None if label == UNSCORED else label in labels) for label, _ in self.said.kinds)
        return replace(self, said=replace(self.said, kinds=tuple(kinds)))

    def labels(self, points: Sequence[str], system: str, prompts: Sequence[str]) -> NDArray[np.object_]:
        """Outcomes, `unscored` where there is none. Shape (points, prompts)."""
        names = np.asarray([label for label, _ in self.said.kinds], dtype=np.object_)
        return names[self._codes(points, system, prompts)]

    def counts(self, point: str, system: str, prompts: Sequence[str]) -> Counter[str]:
        """Counts by outcome at one point."""
        n: Counter[str] = Counter()
        for code, count in enumerate(np.bincount(self._codes([point], system, prompts)[0]).tolist()):
            n[self.said.kinds[code][0]] += count
        return +n

    def _codes(self, points: Sequence[str], system: str, prompts: Sequence[str]) -> Codes:
        """What is said at these places, 0 where the table has none. Shape (points, prompts)."""
        rows = np.asarray([self.said.points.get(point, -1) for point in points], dtype=np.intp)
        columns = self.said.columns(system, tuple(prompts))
        found = np.zeros((rows.size, columns.size), dtype=self.said.codes.dtype)
        here, there = np.flatnonzero(rows >= 0), np.flatnonzero(columns >= 0)
        found[np.ix_(here, there)] = self.said.codes[np.ix_(rows[here], columns[there])]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyTables:
    """The verdicts of a stored study: each judge's table, and the questions of each panel."""

    plan: Plan
    tables: tuple[VerdictTable, ...]
    """One per judge, in the study's order."""

    @classmethod
    def asked(cls, study: StoredStudy) -> StudyTables:
        """Tell what a study asks, without the tables of its judges: no verdict is read.

        Raises:
            StudyError: where the folder holds a shard of the study.
        """
        if study.plan.shard is not None:
            what, remedy = f"{study.folder}, shard {study.plan.shard}", "Join all of them: safebasin merge DIR… -o OUT."
            raise StudyError(expected("study folder", "one that holds all points of its study", what, remedy))
        return cls(plan=study.plan, tables=())

    @classmethod
    def read(cls, study: StoredStudy) -> StudyTables:
        """The tables of a study's judges.

        Raises:
            StudyError: where the folder holds a shard of the study.
        """
        asked = cls.asked(study)
        found = read_verdict_arrays(study.rows, study.plan, study.judges)
        tables = (VerdictTable(judge=judge, said=said) for (judge, _), said in zip(study.judges, found, strict=True))
        return replace(asked, tables=tuple(tables))

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
        counts = {point: of[prompts.name] for point, of in self.plan.stopped.items() if prompts.name in of}
        return Grid(region=region, places=self.plan.places(region), system=system, prompts=prompts, stopped=counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The questions of one panel: a region at its grid, a system prompt and a prompt set."""

    region: Region
    places: tuple[Place, ...]
    """What is measured of it, the origin left out."""
    system: System
    prompts: PromptSet
    stopped: Mapping[str, int] = field(default_factory=dict[str, int])
    """By `Point.key`, how many of the first prompts are asked where not all are."""

    @property
    def ids(self) -> tuple[str, ...]:
        """`Prompt.id`s, in the order of the set: the last axis of every array."""
        return self.prompts.ids

    @property
    def alphas(self) -> tuple[Array, ...]:
        """The coordinates of each axis."""
        return tuple(np.asarray(axis.alphas) for axis in self.region.axes)

    def asked(self, points: Sequence[str]) -> NDArray[np.bool_]:
        """Tell which prompts are asked at some points, by key. Shape (points, prompts)."""
        if not self.stopped:
            return np.ones((len(points), len(self.ids)), dtype=np.bool_)
        ranks = np.asarray([self.prompts.ranks[prompt] for prompt in self.ids])
        return ranks < np.asarray([self.stopped.get(point, len(self.ids)) for point in points])[:, None]

    def asked_at(self, point: str) -> tuple[str, ...]:
        """The `Prompt.id`s that are asked at a point, by key; where not all are, in the order in which they are."""
        if point not in self.stopped:
            return self.ids
        return tuple(prompt for prompt, rank in self.prompts.ranks.items() if rank < self.stopped[point])

    def verdicts(self, table: VerdictTable, points: Sequence[str]) -> Array:
        """Success at some points, by key; NaN where it is missing or was not asked. Shape (points, prompts)."""
        found = table.success(points, self.system.id, self.ids)
        return np.where(self.asked(points), found, np.nan) if self.stopped else found

    def origin(self, table: VerdictTable) -> Array:
        """Success of each prompt at θ₀, shape (prompts,)."""
        return self.verdicts(table, [Point().key])[0]

    @property
    def keys(self) -> list[str]:
        """`Point.key` of every measured place."""
        return [self.region.point(place).key for place in self.places]

    @property
    def fewest(self) -> int:
        """Prompts that are asked at every measured place."""
        return min((self.stopped.get(key, len(self.ids)) for key in self.keys), default=len(self.ids))

    @property
    def bias(self) -> float:
        """Bound how far stopping draws a rate to 0 or 1 on average; 0 where no point was stopped."""
        if not self.stopped:
            return 0.0
        return stats.stopping_bias(min((*self.prompts.stages[:1], *self.stopped.values())))

    def leaning(self) -> tuple[float, ...]:
        """Tell which `off` of `success` an interval has to allow for beside 0: both where points were stopped."""
        return (self.bias, -self.bias) if self.stopped else ()

    def success(
        self,
        table: VerdictTable,
        pick: Sequence[int] | None = None,
        among: NDArray[np.bool_] | None = None,
        *,
        off: float = 0.0,
    ) -> Array:
        """Success over the grid, shape (directions, alphas, prompts) or (directions, alphas, betas, prompts).

        Args:
            table: whose verdicts.
            pick: numbers of the prompts of the last axis; None is all.
            among: those of them that a statistic is taken over, shape (prompts,); None is all.
            off: as in `safebasin.stats.complete_rows`, of points that were stopped.
        """
        columns = slice(None) if pick is None else list(pick)

        def rows(points: Sequence[str]) -> Array:
            found = self.verdicts(table, points)[:, columns]
            if not self.stopped:
                return found
            return stats.complete_rows(found, self.asked(points)[:, columns], among, off=off)

        return self._over_grid(rows)

    def told(self, table: VerdictTable) -> Array:
        """The same with NaN for what was not asked: what each prompt itself was answered, for counts of prompts."""
        return self._over_grid(lambda points: self.verdicts(table, points))

    def weights(self) -> Array:
        """Count the prompts that one that is asked stands for, at each point of a line, shape (directions, alphas)."""
        found = np.ones((self.region.n_directions, *self.region.shape))
        index = {coords: i for i, coords in enumerate(self._coords())}
        for place, key in zip(self.places, self.keys, strict=True):
            found[place.direction, index[place.coords]] = len(self.ids) / self.stopped.get(key, len(self.ids))
        return found

    def _over_grid(self, rows: Callable[[Sequence[str]], Array]) -> Array:
        first = self._direction(rows, 0)
        found = np.empty((self.region.n_directions, *first.shape), dtype=first.dtype)
        found[0] = first
        for direction in range(1, self.region.n_directions):  # no two copies of a large table at once
            found[direction] = self._direction(rows, direction)
        return found

    def _direction(self, rows: Callable[[Sequence[str]], Array], direction: int) -> Array:
        places = [p for p in self.places if p.direction == direction]
        if self.region.points == "grid":
            keys = {p.coords: self.region.point(p).key for p in places}
            every = [keys.get(coords, Point().key) for coords in self._coords()]
            return rows(every).reshape(*self.region.shape, -1)
        places.append(Place(direction=-1, coords=self.region.origin.coords))
        places.sort(key=lambda p: p.coords)
        success = rows([self.region.point(p).key for p in places])
        coords = np.asarray([p.coords for p in places])
        if self.region.is_plane:
            alphas, betas = self.alphas
            return stats.fill_plane(alphas, betas, coords, success)
        return stats.fill_line(self.alphas[0], coords[:, 0], success)

    def labels(self, table: VerdictTable) -> NDArray[np.object_]:
        """Outcomes over the grid of a line, shape (directions, alphas, prompts); empty where nothing was asked.

        As objects: there are a handful of words, and each stands in the memory once.
        """
        found = np.full((self.region.n_directions, *self.region.shape, len(self.ids)), "", dtype=np.object_)
        index = {coords: i for i, coords in enumerate(self._coords())}
        flat = found.reshape(found.shape[0], -1, found.shape[-1])
        origin = table.labels([Point().key], self.system.id, self.ids)[0]
        if self.region.origin.coords in index:
            flat[:, index[self.region.origin.coords]] = origin
        for place in self.places:
            key = self.region.point(place).key
            said = table.labels([key], self.system.id, self.ids)[0]
            flat[place.direction, index[place.coords]] = np.where(self.asked([key])[0], said, "")
        return found

    def _coords(self) -> list[tuple[float, ...]]:
        if self.region.is_plane:
            return [(a, b) for a in self.region.axes[0].alphas for b in self.region.axes[1].alphas]
        return [(a,) for a in self.region.axes[0].alphas]
