"""Measurements at the points of a plan: perplexity and KL of texts, scores of tasks. Measured once, kept, resumed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from safebasin.errors import StudyError
from safebasin.protocols import Backend, Measure, Measured, ReadText, RunTasks
from safebasin.records import Point, content_hash
from safebasin.run.progress import ProgressHook, Tick
from safebasin.store.db import StudyStore
from safebasin.store.measurements import StoredMeasurement, measured_points, put_measurements
from safebasin.study import CapabilitySpec
from safebasin.study.plan import Plan
from safebasin.untrusted import read_bytes, user_path

__all__ = ["PlannedMeasurement", "measure_missing", "planned_measurements", "unmeasured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMeasurement:
    """One thing that is measured at every point."""

    kind: str
    """`text` or `tasks`."""
    label: str
    setting: str
    """Content hash of what is measured and how; it stands with every number."""
    spec: CapabilitySpec


def planned_measurements(spec: CapabilitySpec | None) -> tuple[PlannedMeasurement, ...]:
    """List what a study measures beside responses.

    Raises:
        StudyError: where a text cannot be read.
    """
    if spec is None:
        return ()
    found = [
        PlannedMeasurement(
            kind="text", label=text, setting=content_hash(["text", _digest(text), spec.max_tokens]), spec=spec
        )
        for text in spec.texts
    ]
    if spec.tasks:
        folder = sorted(Path(spec.task_folder).rglob("*.yaml")) if spec.task_folder else []
        what = ["tasks", spec.tasks, spec.task_limit, [_digest(str(path)) for path in folder]]
        found.append(
            PlannedMeasurement(kind="tasks", label=", ".join(spec.tasks), setting=content_hash(what), spec=spec)
        )
    return tuple(found)


def unmeasured(
    store: StudyStore, plan: Plan, wanted: Sequence[PlannedMeasurement]
) -> dict[PlannedMeasurement, tuple[Point, ...]]:
    """The points of a plan at which each is still to be measured; those that lack nothing are left out."""
    missing: dict[PlannedMeasurement, tuple[Point, ...]] = {}
    found = measured_points(store, [(planned.setting, Path(planned.label).name) for planned in wanted])
    for planned, done in zip(wanted, found, strict=True):
        if left := tuple(point for point in plan.points if point.key not in done):
            missing[planned] = left
    return missing


def measure_missing(
    backend: Backend,
    store: StudyStore,
    missing: Mapping[PlannedMeasurement, tuple[Point, ...]],
    *,
    progress: ProgressHook,
) -> None:
    """Measure what is missing, point by point, each kept as soon as it is there."""
    for planned, points in missing.items():
        start, asked = time.monotonic(), _asked(planned)
        answers = backend.run(Measure(point=point, of=asked) for point in points)
        for done, (task, rows) in enumerate(answers, start=1):
            found = cast("tuple[Measured, ...]", rows)
            put_measurements(store, (_stored(task.point, planned, one) for one in found))
            seconds = time.monotonic() - start
            progress(Tick(stage="measure", done=done, total=len(points), fresh=done, seconds=seconds))


def _asked(planned: PlannedMeasurement) -> ReadText | RunTasks:
    """A measurement as a worker is asked for it: with the text, not the name of its file."""
    spec = planned.spec
    if planned.kind == "tasks":
        return RunTasks(tasks=spec.tasks, folder=spec.task_folder, limit=spec.task_limit)
    from safebasin.engines.perplexity import read_text

    return ReadText(name=Path(planned.label).name, text=read_text(planned.label), max_tokens=spec.max_tokens)


def _stored(point: Point, planned: PlannedMeasurement, found: Measured) -> StoredMeasurement:
    return StoredMeasurement(
        point=point.key, name=found.name, setting=planned.setting, value=found.value, error=found.error, n=found.n
    )


def _digest(path: str) -> str:
    return hashlib.sha256(read_bytes(user_path(path), "text", error=StudyError)).hexdigest()
