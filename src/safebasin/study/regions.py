"""Regions of a study file: axes, their ranges, and the lines and planes that they make. Text in, records out."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Literal, cast, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from safebasin import catalog
from safebasin.errors import StudyError, expected
from safebasin.items import items
from safebasin.records import NOISE_VERSION, Axis, DirectionSpec, Region, Scalar

__all__ = ["LATER", "AxisSpec", "RegionSpec", "Strict", "axis_fields", "leads_somewhere", "parse_range", "several"]

MOST_POINTS = 100_000
"""The most points of one line or plane, all directions together: a plane of 300 × 300."""
_FARTHEST = 1_000_000
_LONGEST_RANGE = 100

Fingerprint = Callable[[DirectionSpec], str | None]


LATER: dict[str, JsonValue] = {"later": True}
"""Mark of a key that studies of version 1 did not have: `Field(default=…, json_schema_extra=LATER)`."""


class Strict(BaseModel):
    """A part of a study: frozen, and a key that is not known is an error.

    Written out it lacks the later keys that are at their default, so that a new key changes the hash of no study.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, bool) and info.field_name is not None:
            taken = cls.model_fields[info.field_name].annotation
            kinds = get_args(taken) or (taken,)
            if int in kinds and bool not in kinds:
                raise PydanticCustomError("int_type", "must be a whole number")
        return value

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        known = type(self).model_fields
        fields = cast("dict[str, object]", handler(self))
        return {
            key: value
            for key, value in fields.items()
            if known[key].json_schema_extra != LATER or getattr(self, key) != known[key].default
        }


def leads_somewhere(kind: object) -> bool:
    """Tell whether an axis of this kind, as a study writes it, leads to a target; α = 1 is there."""
    return isinstance(kind, str) and catalog.target_of(kind.partition("(")[0].strip()) not in (None, "none")


def several(value: object) -> list[object]:
    """Make a tuple of what stands for a list in a study (`items`), paths as texts."""
    return [str(one) if isinstance(one, Path) else one for one in items(value)]


class AxisSpec(Strict):
    """One axis of a study file: what is drawn or reached, and where it is sampled."""

    kind: str = "random"
    """Catalogue name of the direction, with its arguments: `random(density=0.1)`."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    directions: int = Field(default=3, ge=1)
    """Independent directions of this seed; 1 for kinds that draw nothing."""
    normalize: Literal["layer", "filter", "model", "none"] = "layer"
    range: str
    """`LO:HI:N`: N coordinates from LO to HI, both included."""
    only: str | None = Field(default=None, max_length=100_000)
    """Patterns (`fnmatch`, joined by commas) of the parameter names that move."""
    target: str | None = None
    """What α = 1 reaches: a model (`to`), an adapter, a scheme (`quant`), a factor (`scale`), or for `task` two models
    `TUNED,BASE`."""

    noise: int | None = Field(default=None, ge=1, le=NOISE_VERSION, json_schema_extra=LATER)
    """Version of the noise of `random`; None is that of the folder, the newest in a new one."""

    @field_validator("kind")
    @classmethod
    def _kind_is_canonical(cls, value: str) -> str:
        return catalog.canonical("direction", value)

    @field_validator("range")
    @classmethod
    def _range_parses(cls, value: str) -> str:
        _ends(value)
        return value

    @model_validator(mode="after")
    def _target_fits(self) -> AxisSpec:
        what = catalog.target_of(self.name)
        if what == "none" and self.target:
            raise ValueError(f"target must be left out for an axis of kind {self.name!r}")
        if what not in (None, "none") and not self.target:
            raise ValueError(f"target must be given for an axis of kind {self.name!r}")
        if self.noise is not None and self.name != "random":
            raise ValueError(f"noise must be left out for an axis of kind {self.name!r}, which draws none of ours")
        return self

    @property
    def name(self) -> str:
        """The kind without arguments."""
        return catalog.parse_call(self.kind)[0]

    @property
    def is_drawn(self) -> bool:
        """True where its directions are drawn; else there is one, which leads to the target."""
        return self.target is None

    def specs(self, *, first: int = 0, noise: int = NOISE_VERSION) -> tuple[DirectionSpec, ...]:
        """Its directions as recipes, numbered from `first` where they are drawn.

        Args:
            first: number of the first.
            noise: version of the noise where the axis names none.
        """
        name, arguments = catalog.parse_call(self.kind)
        args = cast("tuple[tuple[str, Scalar], ...]", tuple(arguments.items()))
        recipe = DirectionSpec(kind=name, seed=self.seed, normalize=self.normalize, only=self.only, args=args)
        if self.target is not None:
            return (replace(recipe, normalize="none", target=self.target),)
        if name == "random":
            recipe = replace(recipe, version=self.noise or noise)
        return tuple(replace(recipe, index=i) for i in range(first, first + self.directions))

    def label(self) -> str:
        """Name of the axis in figures and on the command line."""
        return f"{self.kind}:{self.target}" if self.target else self.kind


class RegionSpec(Strict):
    """One region of a study file: a line (one axis) or a plane (two axes), and how it is sampled."""

    name: str = ""
    """Name in tables and figures; that of its axes when empty."""
    axes: tuple[AxisSpec, ...]
    points: Literal["grid", "auto"] = "grid"
    """`grid` measures every point of the grid, `auto` those where the landscape moves."""
    budget: int | None = Field(default=None, ge=5)
    """The most points of one line or plane."""
    each: Literal["block", "attention", "mlp"] | None = None
    """One line for each block of the model, or for the attention or the MLP of each block, that alone moved."""

    @model_validator(mode="after")
    def _holds_together(self) -> RegionSpec:
        if not 1 <= len(self.axes) <= 2:
            raise ValueError(
                f"axes must be one (a line) or two (a plane); got {len(self.axes)}. "
                "Several lines or planes are several entries of 'regions' in a study file."
            )
        size = self._grid_size()
        asked = size * max(axis.directions if axis.is_drawn else 1 for axis in self.axes)
        if asked > MOST_POINTS:
            shown = f"{asked:,}" if asked < 10**15 else f"about 10^{len(str(asked)) - 1}"
            raise ValueError(
                f"a line or plane must be of at most {MOST_POINTS:,} points, over all its directions; got {shown}, at "
                "each of which every prompt is decoded. Take a smaller range, or fewer directions."
            )
        if self.points == "grid" and self.budget is not None and size > self.budget:
            raise ValueError(
                f"grid must be within the budget of {self.budget} points; got {size} points. "
                "Take a smaller range, or points: auto."
            )
        if self.points == "auto" and self.budget is not None and self.budget < self._anchors():
            raise ValueError(
                f"budget must be at least {self._anchors()}, the ends and the origin of its axes; got {self.budget}. "
                "Take more points, or a line instead of a plane."
            )
        if self.each is not None and (len(self.axes) == 2 or self.axes[0].only or not self.axes[0].is_drawn):
            raise ValueError("each must stand with one axis that is drawn, without 'only'")
        counts = {axis.directions for axis in self.axes if axis.is_drawn and axis.directions > 1}
        if len(counts) > 1:
            raise ValueError("directions must be the same number on both axes of a plane")
        return self

    @property
    def most_points(self) -> int | None:
        """An upper bound of its points; None where it depends on the model's blocks."""
        if self.each is not None:
            return None
        directions = max(axis.directions if axis.is_drawn else 1 for axis in self.axes)
        return 1 + directions * min(self._grid_size(), self.budget or self._grid_size())

    def _anchors(self) -> int:
        """Points without which there is nothing to refine: of each axis the ends, and the origin where it holds it."""
        return math.prod(len({a[0], a[-1], *({0.0} & set(a))}) for a in (parse_range(axis.range) for axis in self.axes))

    def _grid_size(self) -> int:
        return math.prod(_ends(axis.range)[2] for axis in self.axes)

    @property
    def label(self) -> str:
        """The name, or those of its axes."""
        return self.name or " × ".join(axis.label() for axis in self.axes)

    def region(self, fingerprint: Fingerprint = lambda spec: spec.fingerprint, *, noise: int = NOISE_VERSION) -> Region:
        """The region as a record.

        In a plane the directions are orthogonal: of two drawn or two reached ones the second yields, else the drawn
        one does, so that α = 1 stays the target.

        Args:
            fingerprint: gives the fingerprint of what a direction leads to.
            noise: version of the noise of axes that name none.
        """

        def known(specs: Sequence[DirectionSpec]) -> tuple[DirectionSpec, ...]:
            return tuple(replace(s, fingerprint=fingerprint(s)) if s.target else s for s in specs)

        first, *rest = self.axes
        directions = [known(first.specs(noise=noise))]
        if rest:
            second = rest[0]
            both_drawn = first.is_drawn and second.is_drawn and (first.name, first.seed) == (second.name, second.seed)
            number = first.directions if both_drawn else 0
            directions.append(known(second.specs(first=number, noise=noise)))
            yields = 0 if first.is_drawn and not second.is_drawn else 1
            directions[yields] = _orthogonal(directions[yields], directions[1 - yields])
        axes = tuple(
            Axis(directions=specs, alphas=parse_range(axis.range), name=axis.label())
            for axis, specs in zip(self.axes, directions, strict=True)
        )
        return Region(axes=axes, name=self.label, points=self.points, budget=self.budget)


def _orthogonal(specs: Sequence[DirectionSpec], others: Sequence[DirectionSpec]) -> tuple[DirectionSpec, ...]:
    """Each made orthogonal to its partner; as many as the longer of both."""
    count = max(len(specs), len(others))
    return tuple(
        replace(specs[i if len(specs) > 1 else 0], orthogonal_to=(others[i if len(others) > 1 else 0],))
        for i in range(count)
    )


def parse_range(text: str) -> tuple[float, ...]:
    """Coordinates of `LO:HI:N`, both ends included.

    Computed in decimal and rounded to ten places, so that a wider grid of the same spacing holds the same floats and
    finds the same stored points.

    Raises:
        StudyError: where it is not three numbers, not finite, reversed, or holds no point.
    """
    low, high, count = _ends(text)
    step = (high - low) / max(count - 1, 1)
    return tuple(_plain_zero(round(float(low + step * i), 10)) for i in range(count))


def _ends(text: str) -> tuple[Decimal, Decimal, int]:
    """Ends and number of points of a range; builds none of them."""
    parts = text[:_LONGEST_RANGE].split(":")
    remedy = "Write LO:HI:N, e.g. -0.5:0.5:21."
    try:
        low, high, count = Decimal(parts[0]), Decimal(parts[1]), int(parts[2])
        valid = len(parts) == 3 and len(text) <= _LONGEST_RANGE
    except (InvalidOperation, ValueError, IndexError):
        valid, low, high, count = False, Decimal(0), Decimal(0), 0
    if not valid:
        raise StudyError(expected("range", "three numbers LO:HI:N", text, remedy))
    if not (low.is_finite() and high.is_finite()):
        raise StudyError(expected("range", "finite", text, remedy))
    if max(abs(low), abs(high)) > _FARTHEST:
        raise StudyError(expected("range", f"within ±{_FARTHEST:,}", text, remedy))
    if low > high:
        raise StudyError(
            expected("range", "ascending (LO ≤ HI)", text, f"Swap the ends: {parts[1]}:{parts[0]}:{count}.")
        )
    if count < 1:
        raise StudyError(expected("range", "a grid of at least one point", text, remedy))
    if (count == 1) != (low == high):
        raise StudyError(expected("range", "two points or more where LO < HI, and one where LO = HI", text, remedy))
    if count > MOST_POINTS:
        constraint = f"a grid of at most {MOST_POINTS:,} points"
        raise StudyError(expected("range", constraint, text, "Every prompt is decoded at each of them."))
    return low, high, count


def _plain_zero(x: float) -> float:
    return 0.0 if math.isclose(x, 0.0, abs_tol=1e-12) else x


def axis_fields(text: str) -> dict[str, object]:
    """The fields of a command-line axis: `KIND`, `KIND(key=value)` or `KIND:TARGET`, with an optional `@LO:HI:N`.

    Raises:
        StudyError: where the word does not parse.
    """
    match = re.fullmatch(
        r"(?P<kind>[^:@()]+(?:\([^()]*\))?)(?::(?P<target>.+?))?(?:@(?P<range>[^@:]+:[^@:]+:[^@:]+))?", text
    )
    if match is None:
        remedy = "See: safebasin map --help."
        raise StudyError(expected("axis", "like random, to:MODEL, adapter:PATH or quant:int4", text, remedy))
    fields: dict[str, object] = {"kind": match["kind"]}
    if match["target"]:
        fields |= {"target": match["target"], "directions": 1}
    if match["range"]:
        fields["range"] = match["range"]
    return fields
