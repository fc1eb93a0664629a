"""Several stored studies side by side: the same question asked of several models. Reads folders, writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from safebasin import stats
from safebasin.errors import StudyError, expected
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    landscape: Landscape
    grid: Grid
    success: Array
    told: Array | None
    """As it was answered, where points were stopped."""
    judge: str


MOST_STUDIES = 100


def compare_studies(paths: Sequence[Path]) -> ComparedStudies:
    """Compare the first panels of two or more studies.

    Raises:
        StudyError: where fewer than two or more than `MOST_STUDIES` are given, or their regions, prompts, system
            prompts or judges differ; the first difference is named.
    """
    if len(paths) < 2:
        raise StudyError(expected("studies to compare", "two folders or more", [str(p) for p in paths], "Name others."))
    if len(paths) > MOST_STUDIES:
        got = f"{len(paths):,} ({len(paths) * (len(paths) - 1) // 2:,} pairs)"
        raise StudyError(expected("studies to compare", f"at most {MOST_STUDIES}", got, "Name fewer."))
    read = [_read(path) for path in paths]
    for other in read[1:]:
        _check_alike(read[0], other)
    return ComparedStudies(landscapes=tuple(one.landscape for one in read), judge=read[0].judge, ranking=_ranking(read))


def _ranking(read: Sequence[_Read]) -> Ranking:
    """By margin over the region; of a line that leads somewhere toward the target only, where that side is measured."""
    region, name = read[0].grid.region, read[0].grid.region.name
    success, axes = [one.success for one in read], read[0].grid.alphas
    told = [one.success if one.told is None else one.told for one in read]
    if region.sides:
        there = stats.on_side(axes[0], region.sides[0])
        success, told = [one[:, there] for one in success], [one[:, there] for one in told]
        axes, name = (axes[0][there],), f"{name}, {region.sides[0]}"
    names = [one.landscape.name for one in read]
    own = told if any(one.told is not None for one in read) else None
    return stats.rank_by_margin(names, success, axes, region=name, is_drawn=region.is_drawn, told=own)


def _read(path: Path) -> _Read:
    with StoredStudy.open(path) as study:
        tables = StudyTables.read(study)
        judge = main_judge([name for name, _ in study.judges])
        grid, table = next(tables.grids()), tables.table(judge)
        return _Read(
            landscape=read_landscape(study),
            grid=grid,
            success=grid.success(table),
            told=grid.told(table) if grid.stopped else None,
            judge=judge,
        )


def _check_alike(first: _Read, other: _Read) -> None:
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
            names = f"{first.landscape.name!r} and {other.landscape.name!r}"
            shown = (len(here), len(there)) if what == "prompts" else (here, there)
            remedy = "Map both with the same options."
            raise StudyError(expected(f"{what} of {names}", "the same", shown, remedy))
