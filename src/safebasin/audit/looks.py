"""Which prompts a folder was judged on before, so that looking again is seen. Ids as hashes only; no text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from safebasin.errors import StudyError, expected
from safebasin.stats.gate import Decision
from safebasin.writing import write_text

__all__ = ["LOOKS", "Look", "check_look", "keep_look", "read_looks"]

LOOKS = "looks.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One verdict on one sample."""

    sample: Mapping[str, str]
    """Name of the set → content hash of its prompts."""
    n: int
    """Prompts of the largest set."""
    decision: Decision
    look: int | None = None
    of: int | None = None


def read_looks(folder: Path) -> tuple[Look, ...]:
    """The verdicts that a folder came to, the first one first; none where the file is not ours to read."""
    try:
        return tuple(Look(**row) for row in json.loads((folder / LOOKS).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return ()


def check_look(earlier: tuple[Look, ...], sample: Mapping[str, str], asked: tuple[int, int] | None) -> str:
    """What is to be said of a look at this sample after the earlier ones; empty where nothing is.

    Raises:
        StudyError: where the look was taken already on another sample, or of another number of looks.
    """
    others = [look for look in earlier if look.sample != sample]
    if not others:
        return ""
    if asked is None:
        last = others[-1]
        return (
            f"This folder came to a verdict before ({last.decision}, {last.n} prompts a set), and is judged again on "
            "other prompts without --look: a model at the limit then passes more often than once in twenty times."
        )
    number, of = asked
    for look in others:
        if look.of not in (None, of):
            constraint = f"one of the {look.of} looks that were planned"
            raise StudyError(expected("--look", constraint, f"{number}/{of}", "Keep the number of looks."))
        if look.look is not None and look.look >= number:
            taken = f"after look {look.look} of {look.of}, which other prompts were judged by"
            raise StudyError(expected("--look", taken, f"{number}/{of}", f"Give --look {look.look + 1}/{of}."))
    return ""


def keep_look(folder: Path, earlier: tuple[Look, ...], made: Look) -> None:
    """Remember a verdict; the same sample at the same look is remembered once."""
    kept = [look for look in earlier if (look.sample, look.look) != (made.sample, made.look)]
    write_text(folder / LOOKS, json.dumps([asdict(look) for look in (*kept, made)], indent=1) + "\n")
