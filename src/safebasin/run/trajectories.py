"""Trajectories of training runs, projected onto the lines and planes of a study; kept in its database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safebasin.protocols import BaseWeights
from safebasin.records import Trajectory, TrajectoryPlace, canonical_json, content_hash
from safebasin.run.plan import Plan
from safebasin.store.connection import parsed
from safebasin.store.db import StudyStore

__all__ = ["is_traced", "read_traces", "trace"]


def is_traced(store: StudyStore, plan: Plan) -> bool:
    """Whether the trajectories of a plan are there, as their folders are now."""
    return store.meta(_key(plan)) is not None


def trace(store: StudyStore, plan: Plan, base: BaseWeights) -> None:
    """Project every trajectory of a study onto each of its lines and planes, and keep the result.

    Raises:
        UsageError: where a folder holds no checkpoint that fits the model.
    """
    found = [t for folder in plan.study.trajectories for t in _projections(Path(folder), plan, base)]
    store.set_meta(_key(plan), canonical_json([asdict(trajectory) for trajectory in found]))


def read_traces(store: StudyStore, plan: Plan) -> tuple[Trajectory, ...]:
    """The trajectories of a plan, as they were last projected."""
    text = store.meta(_key(plan)) if plan.study.trajectories else None
    with parsed(store.path):
        return tuple(_trajectory(fields) for fields in json.loads(text or "[]"))


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


def _key(plan: Plan) -> str:
    regions = [asdict(region) for region in plan.regions]
    return "trajectories:" + content_hash(
        [regions, [[folder, _state(Path(folder))] for folder in plan.study.trajectories]]
    )


def _state(folder: Path) -> list[list[object]]:
    """Names, sizes and times of what is in a folder: another state is another trajectory. Empty where it is gone."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix in (".safetensors", ".json"))
    return [[str(p.relative_to(folder)), p.stat().st_size, p.stat().st_mtime_ns] for p in files]


def _trajectory(fields: dict[str, Any]) -> Trajectory:
    steps = tuple(TrajectoryPlace(**{**step, "coords": tuple(step["coords"])}) for step in fields["steps"])
    return Trajectory(**{**fields, "steps": steps, "skipped": tuple(fields["skipped"])})
