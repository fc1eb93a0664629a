"""Defenses of the stage inference, by name: part of the model that a study measures, and of every response's key."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import cast

from safebasin import catalog
from safebasin.errors import StudyError, UnknownName, expected
from safebasin.protocols import InferenceDefense

__all__ = ["defense_key", "find_defense", "keys_of", "with_world"]


def defense_key(defense: InferenceDefense) -> str:
    """`name@version`, as `Decoding.defenses` holds it."""
    return f"{defense.name}@{defense.version}"


def keys_of(names: Iterable[str]) -> tuple[str, ...]:
    """The keys of the inference defenses of a study, in order.

    Raises:
        UnknownName: where one is not in the catalogue, or does not take such an argument.
        StudyError: where one works at another stage.
    """
    return tuple(defense_key(_create(name)) for name in names)


def find_defense(key: str) -> InferenceDefense:
    """The defense that a decoding names.

    Raises:
        UnknownName: where it is not in the catalogue, or is another version of it.
    """
    name, _, version = key.rpartition("@")
    defense = _create(name)
    if defense.version != version:
        remedy = "Use the version of its package that the study was made with, or another folder."
        raise UnknownName(expected("defense of a decoding", repr(key), defense_key(defense), remedy))
    return defense


def _create(name: str) -> InferenceDefense:
    declared = catalog.declared_stage(name)
    if declared not in (None, "inference"):  # before what it lacks at its own stage is asked for
        raise _of_another_stage(name, declared)
    made = catalog.create("defense", name)
    if not hasattr(made, "guard"):
        raise _of_another_stage(name, getattr(made, "stage", None))
    return cast("InferenceDefense", made)


def _of_another_stage(name: str, stage: object) -> StudyError:
    remedy = "One that works on rows, training or weights is for finetune: its --defense."
    shown = f"{name} of the stage {stage}"
    return StudyError(expected("the defense of a study", "one of the stage inference", shown, remedy))


def with_world(name: str, world: str) -> str:
    """A defense by name with the world of the model, where it has an argument `world` and is not given one.

    Raises:
        UnknownName: where it is not in the catalogue.
    """
    called, given = catalog.parse_call(name)
    factory = catalog.get("defense", called).resolve()
    if "world" in given or not callable(factory) or "world" not in inspect.signature(factory).parameters:
        return name
    told = name.strip().removesuffix(")").rstrip()
    if "(" not in told:
        return f"{called}(world={world})"
    return f"{told}world={world})" if told.endswith("(") else f"{told}, world={world})"
