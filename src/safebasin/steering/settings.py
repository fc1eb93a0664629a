"""What SCANS is told, read and checked: arguments as they are written become prompts and numbers. No model yet."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, TypeVar, cast, get_args

from safebasin.errors import StudyError, expected
from safebasin.steering.labelled import Labelled, read_labelled

__all__ = ["FEWEST", "Settings", "Sign", "Variant", "Vector", "at_least_0", "band", "labelled", "number", "one_of"]

Sign = Literal["score", "oracle", "harmful", "benign"]
Vector = Literal["refusal", "random"]
Variant = Literal["paper", "as_coded"]
_T = TypeVar("_T", Sign, Vector, Variant)

FEWEST = 8
"""Prompts of a kind: the mean of fewer is nothing to steer by."""
_EACH = 64
"""Prompts of a kind and source."""
_BAND = re.compile(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The arguments of `Scans`."""

    anchors: Labelled
    chosen: Labelled | None
    """Prompts that the threshold is chosen on, where it is."""
    truth: Labelled | None
    """What an oracle knows."""
    layers: tuple[int, int] | None
    """First and last layer that is steered; None for the middle third."""
    scored: tuple[int, int] | None
    """First and last layer whose transitions count; None for the first steered one to the last block."""
    strength: float
    threshold: float | None
    """T; None where it is chosen, or no score decides."""
    sign: Sign
    vector: Vector
    seed: int
    word: str
    variant: Variant


def labelled(sources: str, what: str, *, fewest: int = FEWEST) -> Labelled:
    """The first 64 prompts of a kind and source.

    Raises:
        PromptError, StudyError: as `read_labelled`.
    """
    return read_labelled(sources, what, most=_EACH, fewest=fewest)


def one_of(kind: type[_T] | object, name: str, value: str) -> _T:
    """A word of a list.

    Raises:
        StudyError: where it is none of it.
    """
    words = get_args(kind)
    if value not in words:
        raise StudyError(expected(f"{name} of scans", f"one of {', '.join(words)}", value, "Choose one of them."))
    return cast("_T", value)


def number(name: str, value: object) -> float:
    """A finite number.

    Raises:
        StudyError: where it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise StudyError(expected(f"{name} of scans", "a finite number", value, "Write it like 0.75."))
    return float(value)


def at_least_0(name: str, value: object) -> float:
    """A finite number ≥ 0.

    Raises:
        StudyError: where it is none.
    """
    found = number(name, value)
    if found < 0:
        raise StudyError(expected(f"{name} of scans", "at least 0", value, "0 changes nothing."))
    return found


def band(name: str, value: object) -> tuple[int, int]:
    """First and last layer, as `10-19` or `10`.

    Raises:
        StudyError: where it cannot be read.
    """
    match = _BAND.fullmatch(str(value))
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if first > last:
        remedy = f"Write first and last, as in {name}=10-19."
        raise StudyError(expected(f"{name} of scans", "a band counted from 0", value, remedy))
    return first, last
