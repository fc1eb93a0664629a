"""Places in weight space: the model, directions from it, lines and planes along them, points. Recipes, no tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import product
from typing import Any, Literal

from safebasin.records.identity import LATER, Scalar, canonical_json, content_of, digest

NOISE_VERSION = 2
"""The version of a random direction's noise in new studies (`weights.noise`)."""

SIDES: Mapping[str, int] = {"toward": 1, "away": -1}
"""The sides of a line that leads somewhere, with the sign of α there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef:
    """A model as a user writes it: `path[@revision][#part][+adapter]`, such as `org/name@main+./lora`.

    Purely textual: whether it exists is the business of `safebasin.models.reference`.
    """

    path: str
    """A folder, a hub id, a GGUF file (of a repository: `org/name/FILE.gguf`), or `world:NAME/CHECKPOINT`."""
    revision: str | None = None
    """A branch, tag or commit of a hub repository."""
    part: str | None = None
    """`language`: the language tower of a model that reads images too."""
    adapter: str | None = None
    """A folder or hub id of a PEFT adapter that is added to the weights of `path`."""

    @classmethod
    def parse(cls, text: str) -> ModelRef:
        """Split `path[@revision][#part][+adapter]`. A folder with `@`, `#` or `+` in its name gets a final `/`.

        `path+FILE.gguf` is the file of that name in a folder or repository: `path/FILE.gguf`.
        """
        if text.endswith("/"):
            return cls(path=text.rstrip("/") or "/")
        rest, _, adapter = text.partition("+")
        rest, _, part = rest.partition("#")
        path, _, revision = rest.partition("@")
        first, _, second = adapter.partition("+")
        if first.lower().endswith(".gguf"):
            path, adapter = f"{path.rstrip('/')}/{first}", second
        return cls(path=path, revision=revision or None, part=part or None, adapter=adapter or None)

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        part = f"#{self.part}" if self.part else ""
        adapter = f"+{self.adapter}" if self.adapter else ""
        return f"{self.path}{revision}{part}{adapter}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionSpec:
    """A recipe for a direction in weight space; never a tensor. Equal recipes give equal directions, on any machine."""

    kind: str
    """The catalogue's name of the direction: `random`, `to`, `adapter`, or a plugin's."""
    seed: int = 0
    """Seed of a drawn direction; 0 where nothing is drawn."""
    index: int = 0
    """Which of the independent directions of this seed: 0, 1, 2, …"""
    normalize: str = "layer"
    """`layer` (per tensor), `filter` (per row of axis 0), `model` (one factor), or `none`."""
    only: str | None = None
    """A pattern (`fnmatch`) that canonical parameter names must match; None takes every perturbable tensor."""
    target: str | None = None
    """What α = 1 reaches, as the user wrote it: a model, an adapter, a scheme; None where the direction is drawn."""
    fingerprint: str | None = None
    """Fingerprint of the resolved target, so that a folder whose content changed is another direction."""
    version: int = 1
    """Version of the algorithm that turns the recipe into numbers, of noise for `random`; part of the content key."""
    orthogonal_to: tuple[DirectionSpec, ...] = ()
    """Directions that this one is made orthogonal to, after normalization."""
    args: tuple[tuple[str, Scalar], ...] = field(default=(), metadata=LATER)
    """Arguments of the direction by name, those at their default left out."""

    @classmethod
    def from_record(cls, fields: Mapping[str, Any]) -> DirectionSpec:
        """Rebuild what `asdict` took apart, also after a journey through JSON."""
        given: dict[str, Any] = dict(fields)
        given["orthogonal_to"] = tuple(cls.from_record(other) for other in fields["orthogonal_to"])
        given["args"] = tuple((key, value) for key, value in fields.get("args", ()))
        return cls(**given)

    def moves(self, name: str) -> bool:
        """Tell whether `only` lets a parameter of this canonical name move."""
        return matches(name, self.only)

    def label(self) -> str:
        """A short name for people, e.g. `random, seed 0, direction 2`."""
        arguments = ", ".join(f"{key}={value}" for key, value in self.args)
        named = f"{self.kind}({arguments})" if arguments else self.kind
        return f"{named} {self.target}" if self.target else f"{named}, seed {self.seed}, direction {self.index}"


def matches(name: str, only: str | None) -> bool:
    """Tell whether a canonical name matches one of the patterns (`fnmatch`, joined by commas); None matches all.

    As a whole or from some dot on: `layers.1.*` finds `model.layers.1.mlp.up_proj.weight`.
    """
    patterns = () if only is None else (pattern.strip() for pattern in only.split(","))
    return only is None or any(fnmatchcase(name, p) or fnmatchcase(name, f"*.{p}") for p in patterns)


@lru_cache(maxsize=1024)
def _written(spec: DirectionSpec) -> str:
    return canonical_json(content_of(spec))


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One or more directions of the same kind, each sampled at the same grid of coordinates."""

    directions: tuple[DirectionSpec, ...]
    alphas: tuple[float, ...]
    """Coordinates, ascending, finite, unique. The origin is measured always, whether or not it is among them."""
    name: str = "random"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A place in weight space, θ₀ + Σ αᵢ·dᵢ, as the recipe of its terms. Terms with α = 0 do not exist."""

    terms: tuple[tuple[DirectionSpec, float], ...] = ()

    @classmethod
    def at(cls, *terms: tuple[DirectionSpec, float]) -> Point:
        """The point of these terms; those with α = 0 are dropped, so that every landscape shares one origin."""
        return cls(terms=tuple((spec, float(alpha)) for spec, alpha in terms if alpha != 0))

    @property
    def is_origin(self) -> bool:
        """True where this is θ₀ itself."""
        return not self.terms

    @property
    def key(self) -> str:
        """Content key: `origin`, or 16 hex digits."""
        return "origin" if self.is_origin else digest(self.recipe)

    @property
    def recipe(self) -> str:
        """Canonical JSON of its terms, [[direction, α], …]: what is stored of it, and what its key is the hash of."""
        # From its parts: a plan hashes many points of few directions.
        return f"[{','.join(f'[{_written(spec)},{canonical_json(alpha)}]' for spec, alpha in self.terms)}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place in a region: which of its lines or planes, and the coordinate on each axis."""

    direction: int
    """Number of the line or plane, from 0; −1 for the origin, which all of them share."""
    coords: tuple[float, ...]
    """One coordinate per axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Lines (one axis) or planes (two axes) in weight space, and how they are sampled.

    An axis of several directions gives as many lines; in a plane the i-th directions of both axes span the i-th plane,
    and an axis of one direction serves all of them.
    """

    axes: tuple[Axis, ...]
    """One or two."""
    name: str = ""
    """Name in tables and figures."""
    group: str = ""
    """Regions of one group are drawn together, such as one line for each block of the model."""
    points: Literal["grid", "auto"] = "grid"
    """`grid` measures every coordinate of the axes; `auto` measures where the landscape moves."""
    budget: int | None = None
    """For `auto`: the most points that one line or plane may take; None leaves it to the rule."""

    @property
    def is_plane(self) -> bool:
        """True where it has two axes."""
        return len(self.axes) == 2

    @property
    def is_drawn(self) -> bool:
        """True where some of its directions are drawn, and so a sample; one that leads to a target is all there is."""
        return any(not spec.target for axis in self.axes for spec in axis.directions)

    @property
    def sides(self) -> tuple[str, ...]:
        """The sides of a line that leads to a target, those that its grid has; none where they are alike.

        A drawn direction is as likely as its negative, so its sides are two samples of one thing. Where α = 1 is a
        model, they are two things: no statistic may average over them.
        """
        if self.is_plane or self.is_drawn:
            return ()
        return tuple(side for side, sign in SIDES.items() if any(sign * alpha > 0 for alpha in self.axes[0].alphas))

    @property
    def n_directions(self) -> int:
        """The number of its lines or planes."""
        return max(len(axis.directions) for axis in self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Coordinates per axis."""
        return tuple(len(axis.alphas) for axis in self.axes)

    def spanned_by(self, direction: int) -> tuple[DirectionSpec, ...]:
        """The directions of one line or plane, one per axis."""
        return tuple(axis.directions[direction if len(axis.directions) > 1 else 0] for axis in self.axes)

    def point(self, place: Place) -> Point:
        """The point at a place."""
        if place.direction < 0:
            return Point()
        return Point.at(*zip(self.spanned_by(place.direction), place.coords, strict=True))

    @property
    def origin(self) -> Place:
        """The place of θ₀."""
        return Place(direction=-1, coords=(0.0,) * len(self.axes))

    def grid(self) -> Iterator[Place]:
        """Every place of the grid but the origin: direction by direction, ascending, the last axis fastest."""
        for direction in range(self.n_directions):
            for coords in product(*(axis.alphas for axis in self.axes)):
                if any(coords):
                    yield Place(direction=direction, coords=coords)

    @classmethod
    def from_record(cls, fields: Mapping[str, Any]) -> Region:
        """Rebuild what `asdict` took apart, also after a journey through JSON."""
        axes = tuple(
            Axis(
                name=axis["name"],
                alphas=tuple(axis["alphas"]),
                directions=tuple(DirectionSpec.from_record(d) for d in axis["directions"]),
            )
            for axis in fields["axes"]
        )
        given: dict[str, Any] = dict(fields)
        given["axes"] = axes
        return cls(**given)
