"""Capability at the points of a plan: perplexity and KL of texts, scores of tasks. Measured once, kept, resumed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safebasin.errors import StudyError
from safebasin.records import Point, content_hash
from safebasin.run.progress import ProgressHook, Tick
from safebasin.store.db import StudyStore
from safebasin.store.measurements import StoredMeasurement, put_measurements, read_measurements
from safebasin.study import CapabilitySpec
from safebasin.study.plan import Plan
from safebasin.untrusted import read_bytes, user_path

if TYPE_CHECKING:
    from safebasin.run.local import LocalBackend

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
    backend: LocalBackend,
    store: StudyStore,
    missing: Mapping[Gauge, tuple[Point, ...]],
    *,
    progress: ProgressHook,
) -> None:
    """Measure what is missing, point by point, each kept as soon as it is there."""
    for gauge, points in missing.items():
        backend.move_to(Point())
        read, start = _reader(backend, gauge), time.monotonic()
        for done, point in enumerate(points, start=1):
            backend.move_to(point)
            put_measurements(store, read(point.key))
            seconds = time.monotonic() - start
            progress(Tick(stage="measure", done=done, total=len(points), fresh=done, seconds=seconds))


Reading = Callable[[str], list[StoredMeasurement]]


def _reader(backend: LocalBackend, gauge: Gauge) -> Reading:
    """What reads a gauge at the point where the engine stands; made while it stands at θ₀."""
    if gauge.kind == "text":
        return _text_reader(backend, gauge)
    from safebasin.engines.tasks import TaskRunner

    spec = gauge.spec
    runner = TaskRunner(backend.engine, spec.tasks, folder=spec.task_folder, limit=spec.task_limit)

    def run(point: str) -> list[StoredMeasurement]:
        return [
            StoredMeasurement(
                point=point,
                name=f"task:{result.task}/{result.metric}",
                setting=gauge.setting,
                value=result.value,
                error=result.stderr,
                n=result.n,
            )
            for result in runner.run()
        ]

    return run


def _text_reader(backend: LocalBackend, gauge: Gauge) -> Reading:
    from safebasin.engines.reading import TextReader, read_text

    name = Path(gauge.label).name
    reader = TextReader(backend.engine, read_text(gauge.label), name=name, max_tokens=gauge.spec.max_tokens)

    def read(point: str) -> list[StoredMeasurement]:
        found = reader.measure()
        values = {"perplexity": found.perplexity, "nll": found.nll, "kl": found.kl, "agreement": found.agreement}
        return [
            StoredMeasurement(point=point, name=f"{kind}:{name}", setting=gauge.setting, value=value, n=found.n_tokens)
            for kind, value in values.items()
        ]

    return read


def _digest(path: str) -> str:
    return hashlib.sha256(read_bytes(user_path(path), "text", error=StudyError)).hexdigest()
