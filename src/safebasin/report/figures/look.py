"""How the figures of a study look where a paper wants it otherwise: title, limits, size, language of the labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from safebasin.errors import UsageError, expected
from safebasin.items import items
from safebasin.report.figures.canvas import name_below
from safebasin.report.figures.labels import check_language, translate, translated

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Limits", "Look", "apply_look"]

Limits = tuple[float, float]
_LARGEST = 100.0
"""Inches: of a side that a figure is meant to have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A look of figures that a user asks for; None is the usual."""

    title: str | None = None
    """In place of model and prompt set; empty for none."""
    xlim: Limits | None = None
    """Ends of the axis along α."""
    ylim: Limits | None = None
    """Ends of the axis of rates, in percent, or along β."""
    size: tuple[float, float] | None = None
    """Width and height in inches."""
    labels: str = "en"
    """Language: see `labels.LANGUAGES`."""

    def check(self) -> None:
        """Raises: UsageError naming the first that cannot be."""
        check_language(self.labels)
        if self.title is not None and not isinstance(self.title, str):
            raise UsageError(expected("title", "a text", self.title, "Give a string."))
        for name, limits in (("xlim", self.xlim), ("ylim", self.ylim)):
            if limits is not None and not (_are_two(limits) and limits[0] < limits[1]):
                raise UsageError(expected(name, "two numbers, the lower first", limits, "Write -1:1, or (-1, 1)."))
        if self.size is not None and not (_are_two(self.size) and all(0.5 <= side <= _LARGEST for side in self.size)):
            constraint = f"width and height from 0.5 to {_LARGEST:g} inches"
            raise UsageError(expected("size", constraint, self.size, "Write 6.6x4.2, or (6.6, 4.2)."))


def _are_two(given: object) -> bool:
    """Whether this is two finite numbers; what a caller of `plot` gives may be anything."""
    parts = items(given)
    return len(parts) == 2 and all(isinstance(part, (int, float, np.number)) and math.isfinite(part) for part in parts)


def apply_look(look: Look, figure: Figure) -> None:
    """Change a figure that is drawn."""
    from matplotlib.text import Text

    if look.size is not None:
        figure.set_size_inches(look.size)
    for axes in figure.axes:
        set_limits(look, axes)
    if len(figure.axes) == 1 and look.size is not None:
        _move_below(figure, figure.axes[0])
    if look.size is not None or look.labels != "en":
        _name_again(figure, look.labels)
    translate((text for text in figure.findobj(Text) if isinstance(text, Text)), look.labels)
    if look.title is not None:
        _name(figure, figure.axes, look.title)


def _move_below(figure: Figure, axes: Axes) -> None:
    """Put the legend of the only axes under the figure, where it takes no room from what is drawn."""
    own = axes.get_legend()
    if own is not None:
        own.remove()
        name_below(figure)


def _name_again(figure: Figure, language: str) -> None:
    """Make the legend under the figure anew: translated whole, then cut to the width, which a half phrase is not."""
    if figure.legends:
        below = figure.legends[0]
        handles = [handle for handle in below.legend_handles if handle is not None]
        below.remove()
        name_below(figure, handles, [translated(str(handle.get_label()), language) for handle in handles])


def set_limits(look: Look, axes: Axes) -> None:
    """Set the limits of axes that have a coordinate along x; those of margins and radii stay as they are."""
    if not axes.get_xlabel().startswith("α"):
        return
    if look.xlim is not None:
        axes.set_xlim(look.xlim)
    if look.ylim is not None and (axes.get_ylabel().endswith("(%)") or axes.get_ylabel().startswith("β")):
        axes.set_ylim(look.ylim)


def _name(figure: Figure, every: Sequence[Axes], title: str) -> None:
    """Put the title where the figure has one: over all of it, or over its only axes."""
    if figure.get_suptitle():
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
    elif every:
        every[0].set_title(title)
