"""Several stored studies side by side: the same question asked of several models. Reads folders, writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from safebasin import stats
from safebasin.errors import StudyError, expected
from safebasin.landscape.notes import incoherent
from safebasin.landscape.results import read_landscape
from safebasin.landscape.stored import StoredStudy
from safebasin.landscape.summaries import main_judge
from safebasin.landscape.tables import Array, Grid, StudyTables
from safebasin.records import Landscape
from safebasin.stats.ranking import Ranking

__all__ = ["ComparedStudies", "compare_studies"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedStudies:
    """Studies whose first panels ask the same, and their ranking by margin."""

    landscapes: tuple[Landscape, ...]
    judge: str
    ranking: Ranking

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on whose responses are no language, so that their margin says little."""
        return tuple(f"{one.name}: {said}" for one in self.landscapes for said in incoherent(one.panels[:1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What a study was asked in its first panel."""

    name: str
    judge: str
    grid: Grid


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    landscape: Landscape
    success: Array
    told: Array | None
    """As it was answered, where points were stopped."""
    leaning: tuple[Array, ...]
    """As far off either way as stopping can draw it; nothing where no point was stopped."""


MOST_STUDIES = 100


def compare_studies(paths: Sequence[Path]) -> ComparedStudies:
    """Compare the first panels of two or more studies.

    Raises:
        StudyError: where fewer than two or more than `MOST_STUDIES` are given, or their regions, prompts, system
            prompts or judges differ, or a folder is given twice; the first is named, and no verdict was read.
    """
    if len(paths) < 2:
        raise StudyError(expected("studies to compare", "two folders or more", [str(p) for p in paths], "Name others."))
    if len(paths) > MOST_STUDIES:
        got = f"{len(paths):,} ({len(paths) * (len(paths) - 1) // 2:,} pairs)"
        raise StudyError(expected("studies to compare", f"at most {MOST_STUDIES}", got, "Name fewer."))
    names = _names(paths)
    first, *others = [_asked(path, name) for path, name in zip(paths, names, strict=True)]
    for other in others:
        _check_alike(first, other)
    read = [_read(path, name, first.judge) for path, name in zip(paths, names, strict=True)]
    ranking = _ranking(first.grid, read)
    return ComparedStudies(landscapes=tuple(one.landscape for one in read), judge=first.judge, ranking=ranking)


def _ranking(grid: Grid, read: Sequence[_Read]) -> Ranking:
    """By margin over the region; of a line that leads somewhere toward the target only, where that side is measured."""
    region, name = grid.region, grid.region.name
    success, axes = [one.success for one in read], grid.alphas
    told, leaning = [one.success if one.told is None else one.told for one in read], [one.leaning for one in read]
    if region.sides:
        there = stats.on_side(axes[0], region.sides[0])
        success, told = [one[:, there] for one in success], [one[:, there] for one in told]
        leaning = [tuple(off[:, there] for off in one) for one in leaning]
        axes, name = (axes[0][there],), f"{name}, {region.sides[0]}"
    names = [one.landscape.name for one in read]
    own = told if any(one.told is not None for one in read) else None
    return stats.rank_by_margin(names, success, axes, region=name, is_drawn=region.is_drawn, told=own, leaning=leaning)


def _names(paths: Sequence[Path]) -> list[str]:
    """Name each study by its folder, and by as many folders above it as tell it from the others.

    Raises:
        StudyError: where a folder is given twice.
    """
    real = [path.resolve() for path in paths]
    for path, its in zip(paths, real, strict=True):
        if real.count(its) > 1:
            raise StudyError(expected("studies to compare", "different folders", f"{path} twice", "Name it once."))
    return [Path(*its.parts[-_parts(its, real) :]).as_posix() for its in real]


def _parts(path: Path, among: Sequence[Path]) -> int:
    """How many parts, from the last, tell a path from the others."""
    others = [other for other in among if other != path]
    return next(n for n in range(1, len(path.parts) + 1) if all(o.parts[-n:] != path.parts[-n:] for o in others))


def _asked(path: Path, name: str) -> _Asked:
    with StoredStudy.open(path) as study:
        judge, grids = main_judge([name for name, _ in study.judges]), StudyTables.asked(study).grids()
        return _Asked(name=name, judge=judge, grid=next(grids))


def _read(path: Path, name: str, judge: str) -> _Read:
    with StoredStudy.open(path) as study:
        tables = StudyTables.read(study)
        grid, table = next(tables.grids()), tables.table(judge)
        return _Read(
            landscape=replace(read_landscape(study, tables=tables), name=name),
            success=grid.success(table),
            told=grid.told(table) if grid.stopped else None,
            leaning=tuple(grid.success(table, off=off) for off in grid.leaning()),
        )


def _check_alike(first: _Asked, other: _Asked) -> None:
    def recipes(grid: Grid) -> list[tuple[str, int, str, tuple[float, ...]]]:
        return [
            (a.directions[0].kind, len(a.directions), a.directions[0].normalize, a.alphas) for a in grid.region.axes
        ]

    same = {
        "judge": (first.judge, other.judge),
        "system prompt": (first.grid.system.name, other.grid.system.name),
        "prompts": (first.grid.ids, other.grid.ids),
        "axes": (recipes(first.grid), recipes(other.grid)),
    }
    for what, (here, there) in same.items():
        if here != there:
            names = f"{first.name!r} and {other.name!r}"
            shown = (len(here), len(there)) if what == "prompts" else (here, there)
            remedy = "Map both with the same options."
            raise StudyError(expected(f"{what} of {names}", "the same", shown, remedy))
