"""How the figures of a study look where a paper wants it otherwise: title, limits, size, language of the labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from safebasin.errors import UsageError, expected
from safebasin.report.figures.canvas import name_below
from safebasin.report.figures.labels import check_language, translate

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
        for name, limits in (("xlim", self.xlim), ("ylim", self.ylim)):
            if limits is not None and not (all(map(math.isfinite, limits)) and limits[0] < limits[1]):
                raise UsageError(expected(name, "two numbers, the lower first", limits, "Write -1:1, or (-1, 1)."))
        if self.size is not None and not all(0.5 <= side <= _LARGEST for side in self.size):
            constraint = f"width and height from 0.5 to {_LARGEST:g} inches"
            raise UsageError(expected("size", constraint, self.size, "Write 6.6x4.2, or (6.6, 4.2)."))


def apply_look(look: Look, figure: Figure) -> None:
    """Change a figure that is drawn."""
    from matplotlib.text import Text

    if look.size is not None:
        figure.set_size_inches(look.size)
        _fit_legends(figure)
    for axes in figure.axes:
        set_limits(look, axes)
    translate((text for text in figure.findobj(Text) if isinstance(text, Text)), look.labels)
    if look.title is not None:
        _name(figure, figure.axes, look.title)


def _fit_legends(figure: Figure) -> None:
    """Put the legend under the figure again, in as many columns as fit the new width."""
    if len(figure.axes) == 1 and (own := figure.axes[0].get_legend()) is not None:
        own.remove()
        name_below(figure)
    elif figure.legends:
        below = figure.legends[0]
        handles = [handle for handle in below.legend_handles if handle is not None]
        labels = [text.get_text() for text in below.get_texts()]
        below.remove()
        name_below(figure, handles, labels)


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
