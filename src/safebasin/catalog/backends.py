"""The backends that the catalogue names. Facts only."""

from __future__ import annotations

from safebasin.catalog.row import Row

BACKENDS: tuple[Row, ...] = (
    Row(
        kind="backend",
        name="local",
        target="safebasin.run.local:open_local",
        summary="One worker in this process.",
        source="safebasin",
    ),
    Row(
        kind="backend",
        name="processes",
        target="safebasin.run.processes:open_processes",
        summary="Several processes on this machine, each with an engine of its own.",
        source="safebasin",
    ),
    Row(
        kind="backend",
        name="ray",
        target="safebasin.run.cluster:open_ray",
        summary="Workers on the Ray cluster that RAY_ADDRESS names, or that runs here.",
        source="safebasin",
    ),
)
