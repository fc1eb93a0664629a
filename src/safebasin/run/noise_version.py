"""Which version of the noise a folder's random directions are drawn by, where its study leaves that open.

A study keeps the version that its first directions were drawn by, so that one of an earlier release is continued with
the same bits; a new one takes the newest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from safebasin.records import NOISE_VERSION
from safebasin.store.connection import parsed
from safebasin.store.db import StudyStore
from safebasin.store.folder import DATABASE

__all__ = ["noise_in"]


def noise_in(*folders: Path) -> int:
    """The version of the first of these folders that has random directions; the newest where none has.

    Args:
        *folders: of studies; they need not be there yet.

    Raises:
        StoreError: where a database cannot be read.
    """
    for folder in folders:
        if (folder / DATABASE).is_file():
            with StudyStore.open(folder) as store:
                found = _first(store)
            if found is not None:
                return found
    return NOISE_VERSION


def _first(store: StudyStore) -> int | None:
    """The version by which the first random direction of a study was drawn; None where it has none."""
    with store.reading() as db, parsed(store.path):
        for (recipe,) in db.execute("SELECT recipe FROM points ORDER BY rowid"):
            for spec in _random(direction for direction, _ in json.loads(recipe)):
                return int(spec["version"])
    return None


def _random(directions: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Those that are drawn as `random`, among directions and those that they are orthogonal to."""
    for direction in directions:
        if direction["kind"] == "random":
            yield direction
        yield from _random(direction["orthogonal_to"])
