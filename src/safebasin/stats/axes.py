"""The measured points of a line or of a plane: its axes, its words, and its points in one row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from safebasin.errors import StudyError, expected
from safebasin.stats.landscape import Array, margins
from safebasin.stats.method_words import grid_words

__all__ = ["Axes", "Points"]

Axes = Array | Sequence[Array]
"""Ascending coordinates: of a line one array, or one array in a sequence; of a plane two arrays in a sequence."""


@dataclass(frozen=True, slots=True)
class Points:
    """The points of a line, or of a plane."""

    axes: tuple[Array, ...]
    """One array of coordinates, or two."""

    @classmethod
    def of(cls, axes: Axes) -> Points:
        """The points that are spanned by axes.

        Raises:
            StudyError: where there are more than two axes, or none.
        """
        made = (axes,) if isinstance(axes, np.ndarray) else tuple(axes)
        if len(made) not in (1, 2) or any(axis.ndim != 1 for axis in made):
            shapes = [axis.shape for axis in made]
            raise StudyError(expected("axes", "one or two arrays of coordinates", shapes, "Give one for each axis."))
        return cls(made)

    @property
    def is_plane(self) -> bool:
        """True where there are two axes."""
        return len(self.axes) == 2

    @property
    def words(self) -> str:
        """The number of points, and where they lie, in words."""
        if not self.is_plane:
            return grid_words(self.axes[0])
        alphas, betas = self.axes
        ranges = f"[{alphas[0]:g}, {alphas[-1]:g}] × [{betas[0]:g}, {betas[-1]:g}]"
        return f"{alphas.size} × {betas.size} points in {ranges}"

    def named(self, text: str) -> str:
        """Words about directions, of planes where these are planes."""
        return text.replace("direction", "plane") if self.is_plane else text

    def flat(self, success: Array) -> Array:
        """All points in one row: (D, A, P) or (D, A, B, P) → (D, points, P)."""
        return success.reshape(success.shape[0], math.prod(success.shape[1:-1]), success.shape[-1])  # also of no planes

    def off_origin(self, success: Array) -> Array:
        """The same verdicts, with directions missing as a whole where nothing but the shared origin is measured."""
        away = self.axes[0] != 0
        if self.is_plane:
            away = away[:, None] | (self.axes[1] != 0)  # (A, B)
        own = ~np.isnan(success) & away[..., None]
        return np.where(own.any(axis=tuple(range(1, own.ndim)), keepdims=True), success, np.nan)

    def margins(self, curves: Array) -> Array:
        """Mean of 1 − ASR over the points of each curve, (…, points) → (…); NaN where nothing is measured.

        A line is interpolated first (`safebasin.stats.landscape.margins`); of a plane each measured point counts alike.
        """
        if not self.is_plane:
            return margins(self.axes[0], curves)
        measured = ~np.isnan(curves)
        total = np.where(measured, 1 - curves, 0.0).sum(axis=-1)
        count = measured.sum(axis=-1)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)
