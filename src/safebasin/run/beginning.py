"""The folder of a study as it is written to: made if needed, locked, its database open.

A new one is taken away again where a run ends before anything was measured in it. One that was there before stays.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from safebasin.errors import StoreError
from safebasin.landscape.language_tests import read_tests
from safebasin.store import folder as folders
from safebasin.store.db import StudyStore
from safebasin.store.measurements import has_measurements

__all__ = ["written_to"]


@contextmanager
def written_to(folder: Path, held: ExitStack | None = None) -> Generator[StudyStore]:
    """The database of a study's folder, made if needed, for the one writer of it.

    A new folder is taken away again where the block fails, or is interrupted, before anything was measured.

    Args:
        folder: of the study.
        held: what gives the lock back in the end, for a caller that goes on to write results; the block if None.

    Raises:
        StoreError: where the folder is something else, cannot be made or written to, or has another writer.
    """
    new = folders.absent(folder)
    folders.create(folder)
    with ExitStack() as own:
        (own if held is None else held).enter_context(folders.writer(folder))
        with _unless_bare(new), StudyStore.open(folder) as store:
            yield store


@contextmanager
def _unless_bare(new: Sequence[Path]) -> Generator[None]:
    """Take a new folder away where the block fails and nothing was measured; nobody else is at it, by the lock."""
    try:
        yield
    except BaseException:
        if new and not _is_measured(new[0]):
            folders.discard(new)
        raise


def _is_measured(folder: Path) -> bool:
    database = folder / folders.DATABASE
    if not (database.exists() and database.stat().st_size):
        return False  # a disk too full for an empty one
    try:
        with StudyStore.open(folder) as store:
            return bool(store.used_decodings() or read_tests(store)) or has_measurements(store)
    except StoreError:
        return True  # nobody knows what is in it
