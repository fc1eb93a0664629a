"""Adaptive sampling against the full grid, on the embedded world: what it costs and what it misses.

The full grid is measured first; the same folder is then mapped with `points: auto`, which chooses its places as it
would anywhere and finds their responses there. The rule was made looking at the directions of seed 0, never at seed 1.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from safebasin import stats, study
from safebasin.landscape.stored import StoredStudy
from safebasin.landscape.tables import Grid, StudyTables, VerdictTable
from safebasin.run.execute import measure

MODEL, JUDGE = "world:guild/aligned", "keyword/peng2024"
STEP = 0.15
"""Of the fine grid."""


def main(*, quick: bool) -> str:
    """Two tables in Markdown."""
    limit, directions = (20, 8) if quick else (80, 8)
    with tempfile.TemporaryDirectory() as folder:
        tables = [_lines(Path(folder) / f"line-{seed}", limit, directions, seed) for seed in (0, 1)]
        planes = _plane(Path(folder) / "plane", 10 if quick else 40)
    return "\n\n".join([*tables, planes])


def _both(folder: Path, **fields: Any) -> tuple[tuple[Grid, VerdictTable], tuple[Grid, VerdictTable]]:
    """The full grid, and the same sampled adaptively."""
    found: list[tuple[Grid, VerdictTable]] = []
    for points in ("grid", "auto"):
        made = study.make(
            {"model": MODEL, "judges": [JUDGE], "points": points, "decoding": {"max_new_tokens": 128}, **fields}
        )
        with StoredStudy.open(measure(made, folder)) as stored:
            read = StudyTables.read(stored)
        found.append((next(read.grids()), read.table(JUDGE)))
    return found[0], found[1]


def _lines(folder: Path, limit: int, directions: int, seed: int) -> str:
    (full, table), (part, other) = _both(folder, limit=limit, axes=[{"directions": directions, "seed": seed}])
    (alphas,) = full.alphas
    rows = [
        f"| seed {seed}, direction | points | Δmargin, points | Δradius | ΔVISAGE, points |",
        "| --- | --- | --- | --- | --- |",
    ]
    moved: list[tuple[float, float, float]] = []
    for i in range(directions):
        before, after = (np.nanmean(g.success(t)[i], axis=-1) for g, t in ((full, table), (part, other)))
        n = sum(place.direction == i for place in part.places)
        margin = _difference(stats.margin(alphas, before), stats.margin(alphas, after))
        first, second = stats.radius(alphas, before), stats.radius(alphas, after)
        reach = _difference(first and first.value, second and second.value)
        visage = _difference(stats.visage(before), stats.visage(after))
        moved.append((margin, reach, visage))
        rows.append(
            f"| {i} | {n} of {full.region.shape[0]} | {100 * margin:+.2f} | {reach:+.3f} | {100 * visage:+.2f} |"
        )
    worst = [max(abs(x) for x in column) for column in zip(*moved, strict=True)]
    middle = statistics.median(abs(v) for *_, v in moved)
    rows.append(
        f"\nLargest: |Δmargin| {100 * worst[0]:.2f} points, |Δradius| {worst[1]:.3f} (a step is {STEP}), |ΔVISAGE| "
        f"{100 * worst[2]:.2f} points (median {100 * middle:.2f}). {limit} prompts; the origin is shared."
    )
    return "\n".join(rows)


def _plane(folder: Path, limit: int) -> str:
    (full, table), (part, other) = _both(folder, limit=limit, axes=[{}, {}])
    before, after = (np.nanmean(g.success(t)[0], axis=-1) for g, t in ((full, table), (part, other)))
    first, second = (stats.radius_2d(*full.alphas, surface) for surface in (before, after))
    reach = _difference(first and first.value, second and second.value)
    visage = _difference(stats.visage(before.ravel()), stats.visage(after.ravel()))
    margin = 100 * float(before.mean() - after.mean())
    return (
        "| plane | points | Δmargin, points | Δradius | ΔVISAGE, points |\n| --- | --- | --- | --- | --- |\n"
        f"| random × random | {len(part.places) + 1} of {before.size} | {margin:+.2f} "
        f"| {reach:+.3f} | {100 * visage:+.2f} |\n\n{limit} prompts."
    )


def _difference(before: float | None, after: float | None) -> float:
    return float("nan") if before is None or after is None else after - before
