"""What a study asks twice in other words: it shows only once files are read and blocks of the model are counted.

Not what has the same words: a study file that says so is refused where it is read (`study.model`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from safebasin.errors import StudyError, expected
from safebasin.protocols import Judge
from safebasin.records import Region, System

__all__ = ["check_judges", "check_systems", "named_apart"]


def check_systems(systems: Sequence[System]) -> None:
    """Check that system prompts are different texts: answers are kept by the text.

    Raises:
        StudyError: naming the first two that are the same.
    """
    known: dict[str, str] = {}
    for system in systems:
        if system.id in known:
            both = f"{known[system.id]} and {system.name}, which are the same text"
            raise StudyError(expected("system prompts", "different texts", both, "Leave one out."))
        known[system.id] = system.name


def check_judges(judges: Sequence[Judge]) -> None:
    """Check that judges have different names: verdicts are kept by them.

    Raises:
        StudyError: naming the first that is there twice.
    """
    twice = next((name for name, n in Counter(judge.name for judge in judges).items() if n > 1), None)
    if twice is not None:
        raise StudyError(expected("judges", "different ones", f"{twice} twice", "Leave one out."))


def named_apart(regions: Sequence[Region]) -> tuple[Region, ...]:
    """Give blocks of several regions, which are named alike, the name of their region too: places are kept by name.

    Raises:
        StudyError: where that is the name of another.
    """
    names = Counter(region.name for region in regions)
    found = tuple(
        replace(region, name=f"{region.group}, {region.name}") if names[region.name] > 1 and region.group else region
        for region in regions
    )
    twice = next((name for name, n in Counter(region.name for region in found).items() if n > 1), None)
    if twice is not None:
        raise StudyError(expected("regions", "ones with different names", f"{twice} twice", "Name one otherwise."))
    return found
