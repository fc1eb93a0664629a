"""Numbers measured at points that are no verdicts, in the database of a study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from safebasin.store.db import StudyStore
from safebasin.store.values import now

__all__ = ["StoredMeasurement", "has_measurements", "measured_points", "put_measurements", "read_measurements"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMeasurement:
    """One number at one point."""

    point: str
    """`Point.key`."""
    name: str
    """E.g. `perplexity:FILE`."""
    setting: str
    """Content hash of what was measured and how: another text under the same name is another measurement."""
    value: float | None
    """None where the model is broken at this point."""
    error: float | None = None
    """Standard error, where there is one."""
    n: int = 0
    """Tokens or items behind it."""


def put_measurements(store: StudyStore, measurements: Iterable[StoredMeasurement]) -> None:
    """Keep measurements, in one transaction; those that are there stay."""
    made = now()
    rows = [(m.point, m.name, m.setting, m.value, m.error, m.n, made) for m in measurements]
    with store.transaction() as db:
        columns = "(point, name, setting, value, error, n, created)"
        db.executemany(f"INSERT OR IGNORE INTO measurements {columns} VALUES (?, ?, ?, ?, ?, ?, ?)", rows)


def read_measurements(store: StudyStore, setting: str) -> tuple[StoredMeasurement, ...]:
    """Every measurement of one setting, in the order in which they were made."""
    with store.reading() as db:
        rows = db.execute(
            "SELECT point, name, setting, value, error, n FROM measurements WHERE setting = ? ORDER BY rowid",
            (setting,),
        ).fetchall()
    return tuple(
        StoredMeasurement(point=point, name=name, setting=setting, value=value, error=error, n=n)
        for point, name, setting, value, error, n in rows
    )


def has_measurements(store: StudyStore) -> bool:
    """Tell whether there is any measurement."""
    with store.reading() as db:
        return bool(db.execute("SELECT EXISTS (SELECT 1 FROM measurements)").fetchone()[0])


def measured_points(store: StudyStore, wanted: Sequence[tuple[str, str]]) -> list[set[str]]:
    """Keys of the points at which each of some settings, given with the name of its text, is measured.

    The name counts where two texts of equal content share their setting; a text that is renamed is measured already.
    """
    n = Counter(setting for setting, _ in wanted)
    return [
        {m.point for m in read_measurements(store, setting) if n[setting] == 1 or m.name.partition(":")[2] == text}
        for setting, text in wanted
    ]
