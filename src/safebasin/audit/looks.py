"""Which prompts a folder was judged on before, so that looking again is seen. Ids as hashes only; no text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from safebasin.errors import StudyError, expected
from safebasin.stats.gate import EXIT_CODES, Decision
from safebasin.untrusted import MIB, read_json, read_text
from safebasin.writing import write_text

__all__ = ["LOOKS", "Look", "check_look", "keep_look", "read_looks"]

LOOKS = "looks.json"
_MEND = "Restore the file, or audit with -o into a new folder; without it this look would pass for the first."


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
    """The verdicts that a folder came to, the first one first; none where it keeps no file of them.

    Raises:
        StudyError: where the file is not what an audit wrote. Taken for none, it would hide that a sample is looked at
            again.
    """
    path = folder / LOOKS
    if not path.exists():
        return ()
    what = f"earlier looks in {path}"
    rows = read_json(read_text(path, "earlier looks", error=StudyError, most=MIB), what, error=StudyError, remedy=_MEND)
    if not isinstance(rows, list):
        raise StudyError(expected(what, "a list of looks", type(rows).__name__, _MEND))
    return tuple(_look(row, number, what) for number, row in enumerate(cast("list[object]", rows), start=1))


def _look(row: object, number: int, what: str) -> Look:
    """A stored look; whatever is wrong with it is help."""
    try:
        made = Look(**cast("dict[str, Any]", row))
    except TypeError as error:
        said = "not a mapping" if not isinstance(row, dict) else str(error).partition("() ")[2]
        raise StudyError(expected(what, "what an audit wrote", f"look {number}: {said}", _MEND)) from error
    sample: object = made.sample
    texts = isinstance(sample, dict) and all(
        isinstance(text, str) for text in cast("dict[str, object]", sample).values()
    )
    counts = [made.n, *(value for value in (made.look, made.of) if value is not None)]
    whole = all(type(value) is int and value >= 0 for value in counts)
    if not (texts and whole and made.decision in tuple(EXIT_CODES) and (made.look is None) == (made.of is None)):
        raise StudyError(expected(what, "what an audit wrote", f"look {number}: {row}"[:160], _MEND))
    return made


def check_look(earlier: tuple[Look, ...], sample: Mapping[str, str], asked: tuple[int, int] | None) -> str:
    """Say what follows for a look at this sample after the earlier ones; empty where nothing is.

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
