"""Trajectories of training runs, projected onto the lines and planes of a study; kept in its database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from safebasin.landscape.traces import trace_key
from safebasin.protocols import BaseWeights
from safebasin.records import Trajectory, TrajectoryPlace, canonical_json
from safebasin.store.db import StudyStore
from safebasin.study.plan import Plan

__all__ = ["trace"]


def trace(store: StudyStore, plan: Plan, base: BaseWeights) -> None:
    """Project every trajectory of a study onto each of its lines and planes, and keep the result.

    Raises:
        UsageError: where a folder holds no checkpoint that fits the model.
    """
    found = [t for folder in plan.study.trajectories for t in _projections(Path(folder), plan, base)]
    store.set_meta(trace_key(plan), canonical_json([asdict(trajectory) for trajectory in found]))


def _projections(folder: Path, plan: Plan, base: BaseWeights) -> Iterator[Trajectory]:
    from safebasin.weights.projection import project_all
    from safebasin.weights.stream import prepare_one
    from safebasin.weights.trajectory import read_trajectory

    run = read_trajectory(folder, base)
    for region in plan.regions:
        for direction in range(region.n_directions):
            deltas = [prepare_one(spec, base) for spec in region.spanned_by(direction)]
            found = project_all(base, deltas, [step.delta for step in run.steps])
            yield Trajectory(
                name=folder.name,
                region=region.name,
                direction=direction,
                steps=tuple(
                    TrajectoryPlace(
                        label=step.label,
                        epoch=step.epoch,
                        coords=place.coords,
                        residual=place.share,
                        distance=place.distance,
                    )
                    for step, place in zip(run.steps, found, strict=True)
                ),
                skipped=run.skipped,
            )
