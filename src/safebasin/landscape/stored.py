"""A stored study, opened once: what it was asked, what it holds of that, and what is missing. Measures nothing."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from safebasin.landscape.last_plan import JudgeVersion, is_scored, read_last_plan
from safebasin.landscape.traces import is_traced
from safebasin.records import Point
from safebasin.store import folder as folders
from safebasin.store.db import StudyStore
from safebasin.store.measurements import measured_points
from safebasin.store.read_only import open_read_only
from safebasin.store.rows import PlanRows
from safebasin.store.withholding import require_texts
from safebasin.study.fast import checked
from safebasin.study.plan import Plan
from safebasin.writing import KINDS, check_places

__all__ = ["Missing", "StoredStudy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """The parts of a plan that its folder does not hold."""

    responses: int
    scores: int
    """Responses that are there without a score under θ₀."""
    verdicts: Mapping[str, int]
    """Responses that are there without a verdict, by name of the judge; complete ones are left out."""
    measurements: Mapping[str, tuple[Point, ...]]
    """By setting, the points where it is still to be measured; complete ones are left out."""
    checks: int = 0
    """Of a study in fast mode: responses of its sample in exact mode (`study.fast`)."""
    traces: bool
    """Whether training runs, as their folders are now, are still to be projected."""


@dataclass(frozen=True, slots=True)
class StoredStudy:
    """The last plan of a folder and its rows. `rows` answers and streams; nothing is held."""

    store: StudyStore
    plan: Plan
    judges: tuple[JudgeVersion, ...]
    """(name, version) of the judges, the study's order."""
    rows: PlanRows = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", PlanRows.of(self.store, self.plan))

    @classmethod
    @contextmanager
    def open(cls, folder: Path, *, write: bool = False) -> Generator[StoredStudy]:
        """Open the study of a folder; it is closed at the end of the block.

        Args:
            folder: the study.
            write: whether to hold the lock of its one writer meanwhile.

        Raises:
            StoreError: where the folder is no study, never got as far as a plan, or cannot be written to.
        """
        path = folders.require(folder)
        if write:
            check_places(path, KINDS["a study"])
            with folders.writer(path), StudyStore.open(path) as store:
                require_texts(store)
                yield cls.of(store)
        else:
            with StudyStore.open(path) as store:
                yield cls.of(store)

    @classmethod
    @contextmanager
    def open_read_only(cls, folder: Path, *, in_memory: bool = False) -> Generator[StoredStudy]:
        """Open the study of a folder to look at it (`store.read_only`); it is closed at the end of the block.

        Args:
            folder: the study.
            in_memory: work on a copy in memory, which may be written to.

        Raises:
            StoreError: as `open`.
        """
        with open_read_only(folders.require(folder), in_memory=in_memory) as store:
            yield cls.of(store)

    @classmethod
    def of(cls, store: StudyStore) -> StoredStudy:
        """The study of a database that is open.

        Raises:
            StoreError: where it never got as far as a plan.
        """
        return cls(store, *read_last_plan(store))

    @property
    def folder(self) -> Path:
        """The folder of the study."""
        return self.store.path.parent

    @property
    def name(self) -> str:
        """Name of the folder, for titles."""
        return self.folder.resolve().name

    def missing(self) -> Missing:
        """Find what is not there: the one answer for reports, `verify` and notes."""
        rows, names = self.rows, [name for name, _ in self.judges]
        verdicts = dict(zip(names, rows.count_unjudged(self.judges), strict=True))
        capability = self.plan.study.capability
        texts = [] if capability is None else [Path(text).name for text in capability.texts]
        wanted = list(zip_longest(self.plan.measurements, texts[: len(self.plan.measurements)], fillvalue=""))
        measurements: dict[str, tuple[Point, ...]] = {}
        for (setting, _), done in zip(wanted, measured_points(self.store, wanted), strict=True):
            left = (point for point in self.plan.points if point.key not in done)
            measurements[setting] = tuple(dict.fromkeys((*measurements.get(setting, ()), *left)))
        sample = checked(self.plan)
        return Missing(
            checks=0 if sample is None else sample.size - PlanRows.of(self.store, sample).count(),
            responses=self.plan.size - rows.count(),
            scores=rows.count_unscored() if is_scored(self.store) else 0,
            verdicts={name: n for name, n in verdicts.items() if n},
            measurements={setting: points for setting, points in measurements.items() if points},
            traces=bool(self.plan.study.trajectories) and not is_traced(self.store, self.plan),
        )
