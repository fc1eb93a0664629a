"""Folders that are made of a model once and kept: in a cache, each under a name that says what it was made of."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from safebasin.errors import ModelError, expected
from safebasin.models.files import border
from safebasin.models.writing import RECORD, new_folder
from safebasin.untrusted import MIB, user_path

__all__ = ["made_once"]


def made_once(name: str, make: Callable[[Path], None], *, variable: str, default: str, needed: int) -> Path:
    """The folder of that name in a cache; made where it is not there yet, by one process of several.

    Args:
        name: what tells it from all others.
        make: writes checkpoint and record into an empty folder.
        variable: the environment variable that names the cache.
        default: the cache where that is not set.
        needed: bytes of disk that it may take.

    Raises:
        ModelError: where the disk is too small, and as `make`.
    """
    cache = user_path(os.environ.get(variable) or default)
    folder = cache / name
    if (folder / RECORD).is_file():
        return folder
    with border(f"the folder that {variable} names", "one that can be made", str(cache), "Name another."):
        cache.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(cache).free
    if free < needed:
        got = f"{free // MIB} MB free for up to {needed // MIB} MB"
        remedy = f"Name a folder on another disk in {variable}."
        raise ModelError(expected(f"the disk of {cache}", "large enough for what is made of the model", got, remedy))
    with FileLock(cache / f".{folder.name}.lock"):
        if not (folder / RECORD).is_file():
            with new_folder(folder) as made:
                make(made)
    return folder
