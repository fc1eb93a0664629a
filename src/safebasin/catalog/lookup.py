"""Finding a row by kind and name, and what its facts say. Plugins are found here too."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from functools import cache
from typing import Literal, cast, overload

from safebasin.catalog.backends import BACKENDS
from safebasin.catalog.calls import parse_call, read_value, split_call, write_call
from safebasin.catalog.directions import DIRECTIONS
from safebasin.catalog.edits import EDITS
from safebasin.catalog.engines import ENGINES
from safebasin.catalog.finetuning import ATTACKS, DEFENSES
from safebasin.catalog.judges import ASKED_JUDGES, JUDGES
from safebasin.catalog.making import changed_arguments, check_arguments, make, unknown
from safebasin.catalog.row import Row
from safebasin.catalog.sets import PUBLIC_SETS
from safebasin.catalog.systems import SYSTEMS
from safebasin.catalog.worlds import WORLDS
from safebasin.errors import UnknownName, UsageError, expected
from safebasin.protocols import Attack, Backend, Engine, EngineSpec, Judge, World

GROUP = "safebasin.catalog"
"""The entry-point group of plugins."""

BUILTIN: tuple[Row, ...] = (
    *BACKENDS,
    *DIRECTIONS,
    *ENGINES,
    *JUDGES,
    *ASKED_JUDGES,
    *WORLDS,
    *(public.row() for public in PUBLIC_SETS),
    *(system.row() for system in SYSTEMS),
    *ATTACKS,
    *DEFENSES,
    *EDITS,
)


@cache
def rows() -> tuple[Row, ...]:
    """Every row, built-ins first, then plugins, each in the order of its table."""
    from importlib.metadata import entry_points

    found = list(BUILTIN)
    for entry in entry_points(group=GROUP):
        package = entry.dist.name if entry.dist else entry.name
        provided: Iterable[Row] = entry.load()
        for row in provided:
            prefix = "" if row.name.startswith(f"{package}/") else f"{package}/"
            found.append(replace(row, name=prefix + row.name))
    seen: set[tuple[str, str]] = set()
    for row in found:
        if (row.kind, row.name) in seen:
            raise UnknownName(
                f"{row.kind} {row.name!r} must be provided once; got it twice. Uninstall one of the plugins."
            )
        seen.add((row.kind, row.name))
    return tuple(found)


def kinds() -> tuple[str, ...]:
    """The kinds that the catalogue holds, sorted."""
    return tuple(sorted({row.kind for row in rows()}))


def of_kind(kind: str) -> tuple[Row, ...]:
    """All rows of one kind, named in the singular or the plural; of `plugin` those that other packages provide.

    Raises:
        UnknownName: with the nearest kind.
    """
    if kind in ("plugin", "plugins"):
        return tuple(row for row in rows() if row not in BUILTIN)
    known = next((k for k in kinds() if kind.removesuffix("s") == k.removesuffix("s")), None)
    if known is None:
        raise UnknownName(unknown("kind", kind, (*kinds(), "plugin"), "safebasin list"))
    return tuple(row for row in rows() if row.kind == known)


def get(kind: str, name: str) -> Row:
    """The row of that kind and name.

    Raises:
        UnknownName: with the nearest name, or the list of all.
    """
    found = {row.name: row for row in of_kind(kind)}
    if not found:
        raise UnknownName(expected(kind, "one that is installed", name, "No package adds to the catalogue."))
    if name not in found:
        raise UnknownName(unknown(kind, name, found, f"safebasin list {kind}"))
    return found[name]


def declared_stage(defense: str) -> str | None:
    """Stage that the row of a defense says it works at, known before it is made; None where the row does not say.

    Raises:
        UnknownName: where the name is not in the catalogue.
    """
    return get("defense", parse_call(defense)[0]).fact("stage")


def measures(judge: str) -> str | None:
    """Look up what a judge measures: `refusal`, `outcome`, `harm` or `truth`; None where its row is not here, or does
    not say.

    Args:
        judge: its name, with arguments or without.
    """
    return _fact_of_judge(judge, "measures")


def is_keyword(judge: str) -> bool:
    """Tell whether a judge measures refusal by a list of phrases, as published attack success does; named as
    `measures`.
    """
    return measures(judge) == "refusal" and _fact_of_judge(judge, "by") == "keywords"


def is_exact(judge: str) -> bool:
    """Tell whether a judge knows the truth exactly, of answers too; named as `measures`."""
    return measures(judge) == "truth" and _fact_of_judge(judge, "exact") == "yes"


def _fact_of_judge(judge: str, key: str) -> str | None:
    try:
        return get("judge", parse_call(judge)[0]).fact(key)
    except UnknownName:
        return None


def target_of(direction: str) -> str | None:
    """Name what a direction leads to: `model`, `models`, `adapter`, `text`, or `none` where it is drawn.

    None where its row is not here.

    Args:
        direction: its name, without arguments.
    """
    try:
        return get("direction", direction).fact("target") or "none"
    except UnknownName:
        return None


def canonical(kind: str, text: str) -> str:
    """Write a call of the catalogue as it is stored: arguments of the types that the target declares, in its order.

    Those at their default are left out. What is not here stays as it is written.

    Raises:
        UnknownName: where the parentheses or an argument do not parse, or the target does not take such an argument.
        UsageError: where an argument is of another type, or out of range.
    """
    name, written = split_call(text)
    if not written:
        return name
    try:
        row = get(kind, name)
    except UnknownName:
        return text
    return write_call(name, changed_arguments(row, {k: read_value(v, name) for k, v in written.items()}, written))


def world(name: str) -> World:
    """The embedded world of that name.

    Raises:
        UnknownName: where there is none.
    """
    return cast("World", get("world", name).resolve())


@overload
def create(kind: Literal["judge"], text: str) -> Judge: ...
@overload
def create(kind: Literal["attack"], text: str) -> Attack: ...
@overload
def create(kind: str, text: str) -> object: ...
def create(kind: str, text: str) -> object:
    """Make what `name(key=value, …)` stands for; values are YAML scalars, of the types that the target declares.

    Raises:
        UnknownName: where the name is not known, or the target does not take such an argument, or needs another.
        UsageError: where an argument is of another type, or out of range.
    """
    name, written = split_call(text)
    return make(get(kind, name), {key: read_value(value, name) for key, value in written.items()}, written)


_FOR_SOME = ("engine", "date", "directions")
"""Fields of an `EngineSpec` that an engine may pass over: the day is for templates that ask."""


def engine_row(text: str) -> Row:
    """The row of an engine as a study names it: `name`, or `name(key=value, …)` with arguments of its own, checked.

    Raises:
        UnknownName: where there is no such engine, or it takes no such argument.
        UsageError: where an argument is of another type, or a setting of the study.
    """
    return _engine(text)[0]


def open_engine(spec: EngineSpec) -> Engine:
    """The engine of the catalogue that a specification names, its model loaded.

    Raises:
        UnknownName: where there is no such engine.
        UsageError: where it does not know a setting, or the model or the device cannot be used.
    """
    row, own = _engine(spec.engine)
    factory = cast("Callable[..., Engine]", row.resolve())
    known = inspect.signature(factory).parameters
    given: dict[str, object] = {}
    for field in fields(spec):
        value = getattr(spec, field.name)
        if field.name in known:
            given[field.name] = value
        elif field.name not in _FOR_SOME and value != field.default:
            what = f"{field.name} with the engine {spec.engine!r}"
            raise UsageError(expected(what, "left out", value, "That engine does not know it."))
    return factory(**given, **own)


def _engine(text: str) -> tuple[Row, dict[str, object]]:
    """The row of an engine, and its own arguments."""
    name, written = split_call(text)
    row = get("engine", name)
    if not written:  # its module may want a package that only the run needs
        return row, {}
    for key in written.keys() & {field.name for field in fields(EngineSpec)}:
        remedy = f"Give {key} as a setting of the study."
        raise UsageError(expected(f"argument of the engine {name!r}", "its own", key, remedy))
    factory = cast("Callable[..., object]", row.resolve())
    settings = {p.name: "" for p in inspect.signature(factory).parameters.values() if p.default is p.empty}
    own = {key: read_value(value, name) for key, value in written.items()}
    checked = check_arguments(row, factory, {**settings, **own}, written)
    return row, {key: checked[key] for key in own}


def open_backend(name: str, spec: EngineSpec, workers: int | None = None) -> Backend:
    """The backend of the catalogue by that name, with workers that have the engine of a specification.

    Raises:
        UnknownName: where there is no such backend.
        UsageError: where the workers cannot be, or the engine.
    """
    return cast("Callable[..., Backend]", get("backend", name).resolve())(spec, workers)
