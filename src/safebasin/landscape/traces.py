"""Trajectories of training runs as they were projected onto a study's lines and planes. Projects nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safebasin.records import Trajectory, TrajectoryPlace, content_hash, content_of
from safebasin.store.connection import parsed
from safebasin.store.db import StudyStore
from safebasin.study.plan import Plan

__all__ = ["is_traced", "read_traces", "trace_key"]


def is_traced(store: StudyStore, plan: Plan) -> bool:
    """Tell whether the trajectories of a plan are there, as their folders are now."""
    return store.meta(trace_key(plan)) is not None


def read_traces(store: StudyStore, plan: Plan) -> tuple[Trajectory, ...]:
    """The trajectories of a plan, as they were last projected."""
    text = store.meta(trace_key(plan)) if plan.study.trajectories else None
    with parsed(store.path):
        return tuple(_trajectory(fields) for fields in json.loads(text or "[]"))


def trace_key(plan: Plan) -> str:
    """Under which key the database holds the trajectories of a plan, their folders being as they are now."""
    regions = [content_of(region) for region in plan.regions]
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
