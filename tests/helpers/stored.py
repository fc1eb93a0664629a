"""What a folder holds, for tests that compare two of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safebasin.run.verify import verify
from safebasin.store.db import StudyStore


def rows(folder: Path) -> list[Any]:
    """The responses and verdicts of a study in the order of their keys, and its plan."""
    with StudyStore.open(folder) as store, store.reading() as db:
        query = "SELECT key, text, n_tokens, finish_reason FROM responses ORDER BY key"
        said = "SELECT response, judge, version, label FROM verdicts ORDER BY response, judge"
        return [db.execute(query).fetchall(), db.execute(said).fetchall(), store.meta("plan")]


def missing(folder: Path) -> list[str]:
    """What `verify` finds wrong."""
    return verify(folder, full=False, note=lambda _: None, published=False, model=False)
