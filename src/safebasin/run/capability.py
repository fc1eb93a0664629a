"""Capability at the points of a plan: perplexity and KL of texts, scores of tasks. Measured once, kept, resumed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from safebasin.errors import StudyError
from safebasin.protocols import Backend, Measure, Measured, TaskGauge, TextGauge
from safebasin.records import Point, content_hash
from safebasin.run.progress import ProgressHook, Tick
from safebasin.store.db import StudyStore
from safebasin.store.measurements import StoredMeasurement, put_measurements, read_measurements
from safebasin.study import CapabilitySpec
from safebasin.study.plan import Plan
from safebasin.untrusted import read_bytes, user_path

__all__ = ["Gauge", "gauges", "measure_capability", "unmeasured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """One thing that is measured at every point."""

    kind: str
    """`text` or `tasks`."""
    label: str
    setting: str
    """Content hash of what is measured and how; it stands with every number."""
    spec: CapabilitySpec


def gauges(spec: CapabilitySpec | None) -> tuple[Gauge, ...]:
    """What a study measures beside responses.

    Raises:
        StudyError: where a text cannot be read.
    """
    if spec is None:
        return ()
    found = [
        Gauge(kind="text", label=text, setting=content_hash(["text", _digest(text), spec.max_tokens]), spec=spec)
        for text in spec.texts
    ]
    if spec.tasks:
        folder = sorted(Path(spec.task_folder).rglob("*.yaml")) if spec.task_folder else []
        what = ["tasks", spec.tasks, spec.task_limit, [_digest(str(path)) for path in folder]]
        found.append(Gauge(kind="tasks", label=", ".join(spec.tasks), setting=content_hash(what), spec=spec))
    return tuple(found)


def unmeasured(store: StudyStore, plan: Plan, wanted: Iterable[Gauge]) -> dict[Gauge, tuple[Point, ...]]:
    """By gauge, the points of a plan at which it is still to be read."""
    missing: dict[Gauge, tuple[Point, ...]] = {}
    for gauge in wanted:
        done = {m.point for m in read_measurements(store, gauge.setting)}
        if left := tuple(point for point in plan.points if point.key not in done):
            missing[gauge] = left
    return missing


def measure_capability(
    backend: Backend,
    store: StudyStore,
    missing: Mapping[Gauge, tuple[Point, ...]],
    *,
    progress: ProgressHook,
) -> None:
    """Measure what is missing, point by point, each kept as soon as it is there."""
    for gauge, points in missing.items():
        start, asked = time.monotonic(), _asked(gauge)
        answers = backend.run(Measure(point=point, gauge=asked) for point in points)
        for done, (task, rows) in enumerate(answers, start=1):
            found = cast("tuple[Measured, ...]", rows)
            put_measurements(store, (_stored(task.point, gauge, one) for one in found))
            seconds = time.monotonic() - start
            progress(Tick(stage="measure", done=done, total=len(points), fresh=done, seconds=seconds))


def _asked(gauge: Gauge) -> TextGauge | TaskGauge:
    """A gauge as a worker is asked for it: with the text, not the name of its file."""
    spec = gauge.spec
    if gauge.kind == "tasks":
        return TaskGauge(tasks=spec.tasks, folder=spec.task_folder, limit=spec.task_limit)
    from safebasin.engines.reading import read_text

    return TextGauge(name=Path(gauge.label).name, text=read_text(gauge.label), max_tokens=spec.max_tokens)


def _stored(point: Point, gauge: Gauge, found: Measured) -> StoredMeasurement:
    return StoredMeasurement(
        point=point.key, name=found.name, setting=gauge.setting, value=found.value, error=found.error, n=found.n
    )


def _digest(path: str) -> str:
    return hashlib.sha256(read_bytes(user_path(path), "text", error=StudyError)).hexdigest()
