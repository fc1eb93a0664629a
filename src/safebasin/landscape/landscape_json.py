"""`landscape.json`: a measured landscape as plain values. Its schema is `landscape.schema.json` beside this module."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from safebasin.records import Cell, Estimate, FastMode, Landscape, Region, canonical_json

SCHEMA_VERSION = 2


def to_json(landscape: Landscape) -> str:
    """`landscape.json`: the schema is `landscape.schema.json` beside this module. Equal landscapes give equal text."""
    first = landscape.panels[0]
    regions = list(dict.fromkeys(panel.region for panel in landscape.panels))
    document = {
        "schema_version": SCHEMA_VERSION,
        "name": landscape.name,
        "model": landscape.model,
        "judges": list(landscape.judges),
        "judge": first.judge,
        "summary": _estimates(first.summary),
        "regions": [_region(region) for region in regions],
        "points": [_point(cell, number) for number, panel in enumerate(landscape.panels) for cell in panel.points],
        "panels": [
            {
                "region": regions.index(panel.region),
                "system": panel.system,
                "prompts": panel.prompts,
                "judge": panel.judge,
                "summary": _estimates(panel.summary),
                "measurements": [asdict(measurement) for measurement in panel.measurements],
            }
            for panel in landscape.panels
        ],
        "comparisons": [asdict(comparison) for comparison in landscape.comparisons],
        "trajectories": [asdict(trajectory) for trajectory in landscape.trajectories],
        **({} if landscape.fast is None else {"fast": _fast(landscape.fast)}),
        "notes": list(landscape.notes),
    }
    return json.dumps(document, indent=1, allow_nan=False, sort_keys=False) + "\n"


def _fast(found: FastMode) -> dict[str, object]:
    return {name: value for name, value in asdict(found).items() if value is not None or name != "left_out"}


def _estimates(summary: Mapping[str, Estimate]) -> dict[str, object]:
    return {name: asdict(estimate) for name, estimate in summary.items()}


def _region(region: Region) -> dict[str, object]:
    return json.loads(canonical_json(asdict(region)))


def _point(cell: Cell, panel: int) -> dict[str, object]:
    return {
        "panel": panel,
        "point": cell.point,
        "coords": list(cell.coords),
        "direction": cell.direction,
        "asr": _estimates(cell.asr),
        "outcomes": dict(cell.outcomes),
        "n_planned": cell.n_planned,
    }


def schema() -> dict[str, object]:
    """The published JSON Schema of `landscape.json`."""
    return json.loads((Path(__file__).parent / "landscape.schema.json").read_text(encoding="utf-8"))
