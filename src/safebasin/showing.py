"""What draws a record of a layer below `report`: loaded by name, when the record is asked for its frame or its plot.

Such a record holds no more of its report than this, so that the layers stay as they are until somebody looks.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["frames", "plots"]


def frames() -> Any:
    """`safebasin.report.frames`."""
    return import_module("safebasin.report.frames")


def plots() -> Any:
    """`safebasin.report.figures.plots`."""
    return import_module("safebasin.report.figures.plots")
