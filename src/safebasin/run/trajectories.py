"""Trajectories of training runs, projected onto the lines and planes of a study; kept in its database."""

from __future__ import annotations

from dataclasses import asdict
from typing import cast

from safebasin.landscape.traces import trace_key
from safebasin.protocols import Backend, Trace
from safebasin.records import Trajectory, canonical_json
from safebasin.store.db import StudyStore
from safebasin.study.plan import Plan

__all__ = ["trace"]


def trace(backend: Backend, store: StudyStore, plan: Plan) -> None:
    """Project every trajectory of a study onto each of its lines and planes, and keep the result.

    Raises:
        UsageError: where a folder holds no checkpoint that fits the model, or the engine lends none.
    """
    tasks = [Trace(folder=folder, regions=plan.regions) for folder in plan.study.trajectories]
    done = {task: cast("tuple[Trajectory, ...]", rows) for task, rows in backend.run(tasks)}
    store.set_meta(trace_key(plan), canonical_json([asdict(found) for task in tasks for found in done[task]]))
