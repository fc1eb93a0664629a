"""What the page draws from several panels: overlays, groups, and what else was measured along a line. Pure."""

from __future__ import annotations

from safebasin.records import Landscape, Panel
from safebasin.report.curves import axis_label, mean_values
from safebasin.report.layout import Group, Overlay
from safebasin.report.measurements import MeasurementCurve, measurement_curves
from safebasin.report.sanitize import visible

__all__ = ["group_values", "measurement_values", "overlay_values"]


def overlay_values(landscape: Landscape, overlay: Overlay) -> dict[str, object]:
    """List the panels that are drawn over each other, by their number in the page, and how they are called."""
    return {
        "panels": [_number(landscape, panel) for panel in overlay.panels],
        "names": [visible(overlay.name_of(panel)) for panel in overlay.panels],
    }


def group_values(landscape: Landscape, group: Group) -> dict[str, object]:
    """The rows of a heat map: mean ASR by line and α, of the judge behind the statistics."""
    return {
        "panels": [_number(landscape, panel) for panel in group.panels],
        "names": [visible(panel.region.name) for panel in group.panels],
        "label": axis_label(group.panels[0].axis),
        "judge": visible(group.panels[0].judge),
        "alphas": group.alphas,
        "asr": [mean_values(panel, panel.judge, group.alphas) for panel in group.panels],
    }


def measurement_values(panel: Panel) -> list[dict[str, object]]:
    """Collect what else was measured along a line: mean and range over directions, and where nothing could be."""
    return [_curve(curve) for curve in measurement_curves(panel)]


def _curve(curve: MeasurementCurve) -> dict[str, object]:
    mean = curve.mean
    return {
        "name": visible(curve.words),
        "kind": visible(curve.kind),
        "axis": visible(curve.axis),
        "log": curve.is_log,
        "alpha": mean.alphas,
        "value": mean.values,
        "low": mean.low,
        "high": mean.high,
        "broken": sorted({alpha for line in curve.lines for alpha in line.broken}),
        "n_directions": len(curve.lines),
    }


def _number(landscape: Landscape, panel: Panel) -> int:
    return next(number for number, other in enumerate(landscape.panels) if other is panel)
