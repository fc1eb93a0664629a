"""One panel as plain values for the page: its cells, and the curves or surfaces of every judge. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from safebasin.records import Cell, Landscape, Panel, Trajectory
from safebasin.report.curves import Curve, Share, axis_label, composition, curves, mean_curve, plane_labels, rate_name
from safebasin.report.layout import trajectories
from safebasin.report.sanitize import visible
from safebasin.report.sides import rim_words, rims
from safebasin.report.surfaces import Surface, is_interpolated, mean_surface, surfaces, target_marks
from safebasin.report.trajectories import labeled_steps, step_words

__all__ = ["judges_of", "panel_values"]


def judges_of(landscape: Landscape, panel: Panel) -> list[str]:
    """The judges, the one behind the statistics first."""
    return [panel.judge, *(judge for judge in landscape.judges if judge != panel.judge)]


def panel_values(landscape: Landscape, panel: Panel) -> dict[str, object]:
    """Collect what the script needs to draw a panel; what its responses are is added elsewhere."""
    judges = judges_of(landscape, panel)
    names = [" × ".join(s.label() for s in panel.region.spanned_by(i)) for i in range(panel.region.n_directions)]
    shape = _plane(landscape, panel, judges) if panel.region.is_plane else _line(landscape, panel, judges)
    return {
        "region": visible(panel.region.name),
        "name": visible(panel.prompts),
        "system": visible(panel.system),
        "directions": [visible(name) for name in names],
        "radius": _radius(panel),
        "rate": rate_name(panel),
        "cells": [_cell(cell, judges) for cell in panel.points],
        **shape,
    }


def _radius(panel: Panel) -> dict[str, object] | None:
    radius = panel.summary.get("radius")
    if radius is None or radius.value is None:
        return None
    return {"value": radius.value, "low": radius.low, "high": radius.high, "censored": bool(radius.n_censored)}


def _cell(cell: Cell, judges: Sequence[str]) -> dict[str, object]:
    rates = [cell.asr.get(judge) for judge in judges]
    return {
        "at": cell.coords,
        "direction": cell.direction,
        "asr": [None if e is None else [e.value, e.low, e.high, e.n, e.n_missing] for e in rates],
        "planned": cell.n_planned,
    }


# --- lines ------------------------------------------------------------------------------------------------------------


def _line(landscape: Landscape, panel: Panel, judges: Sequence[str]) -> dict[str, object]:
    alphas = panel.axis.alphas
    return {
        "kind": "line",
        "labels": [axis_label(panel.axis)],
        "range": [[min(0.0, *alphas), max(0.0, *alphas)]],
        "rims": _rims(panel),
        "judges": [_judge_of_line(panel, judge) for judge in judges],
        "composition": [
            {"alpha": p.alpha, "n": p.n, "mean": p.is_mean, "shares": _named(p.shares)} for p in composition(panel)
        ],
        "paths": [_path_on_line(panel, path) for path in trajectories(landscape, panel)],
    }


def _rims(panel: Panel) -> dict[str, object]:
    found = rims(panel)
    return {"name": rim_words(panel), "at": [r.alpha for r in found], "bounds": [r.is_bound for r in found]}


def _judge_of_line(panel: Panel, judge: str) -> dict[str, object]:
    mean = mean_curve(panel, judge)
    return {
        "name": visible(judge),
        "mean": None if mean is None else _curve(mean),
        "directions": {str(curve.direction): _curve(curve) for curve in curves(panel, judge)},
    }


def _curve(curve: Curve) -> dict[str, object]:
    alphas, asr, low, high = curve.with_gaps()
    return {
        "name": visible(curve.name),
        "alpha": alphas,
        "asr": asr,
        "low": low,
        "high": high,
        "band": curve.band,
        "interpolated": curve.is_interpolated,
    }


def _share(share: Share) -> dict[str, object]:
    return {"alpha": share.alpha, "n": share.n, "mean": share.is_mean, "shares": _named(share.shares)}


def _named(shares: Mapping[str, float]) -> dict[str, float]:
    return {visible(name): share for name, share in shares.items()}


def _path_on_line(panel: Panel, path: Trajectory) -> dict[str, object]:
    curve = next((c for c in curves(panel, panel.judge) if c.direction == path.direction), None)
    made = _path(path)
    made["asr"] = None if curve is None else [curve.at(step.coords[0])[0] for step in path.steps]
    return made


def _path(path: Trajectory) -> dict[str, object]:
    xs = [coord for step in path.steps for coord in step.coords]
    named = dict(labeled_steps(path, reach=max(3.0, max(xs) - min(xs))))
    return {
        "name": visible(path.name),
        "direction": path.direction,
        "at": [step.coords for step in path.steps],
        "names": [visible(named.get(step, "")) for step in path.steps],
        "words": [visible(step_words(step)) for step in path.steps],
        "residual": [step.residual for step in path.steps],
    }


# --- planes -----------------------------------------------------------------------------------------------------------


def _plane(landscape: Landscape, panel: Panel, judges: Sequence[str]) -> dict[str, object]:
    axes = panel.region.axes
    return {
        "kind": "plane",
        "labels": list(plane_labels(panel)),
        "range": [[min(0.0, *axis.alphas), max(0.0, *axis.alphas)] for axis in axes],
        "grid": [axis.alphas for axis in axes],
        "interpolated": is_interpolated(panel),
        "targets": [[alpha, beta, visible(name)] for alpha, beta, name in target_marks(panel)],
        "judges": [_judge_of_plane(panel, judge) for judge in judges],
        "composition": [],
        "paths": [_path(path) for path in trajectories(landscape, panel)],
    }


def _judge_of_plane(panel: Panel, judge: str) -> dict[str, object]:
    mean = mean_surface(panel, judge)
    return {
        "name": visible(judge),
        "mean": None if mean is None else _surface(mean),
        "directions": {str(surface.direction): _surface(surface) for surface in surfaces(panel, judge)},
    }


def _surface(surface: Surface) -> dict[str, object]:
    return {"name": visible(surface.name), "asr": surface.asr, "gaps": surface.n_gaps, "measured": surface.measured}
