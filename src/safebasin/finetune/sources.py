"""Rows for a recipe from files, the hub, or a world by name; for its own models a world is asked itself. No torch."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from safebasin import catalog
from safebasin.errors import PromptError, UsageError, expected
from safebasin.finetune.data import from_objects, read_training_rows
from safebasin.prompts.sources import HubId, hub_id, slice_of, split_slice
from safebasin.protocols import RowSource
from safebasin.records import TrainingRow

__all__ = ["REFUSALS", "FileRows", "NoRows", "Sets", "licences", "rows_of", "sets_of"]

REFUSALS = ("safe", "refused")
"""Kinds of rows that end with a refusal: what `--safe` is for."""


def rows_of(source: Path, *, safe: bool = False) -> tuple[TrainingRow, ...]:
    """The rows of a file, of a world (`world:kitchen/benign`), or of the hub (`hub:org/name@train[:1000]`).

    Args:
        source: where they are; a hub id as `prompts.sources` reads it. What is fetched carries its commit in `source`.
        safe: whether they are mixed in as safe ones.

    Raises:
        MissingExtra: where `datasets` is not installed, of a hub id.
        PromptError: as `data.read_training_rows`, where the world has no such rows, or a hub id cannot be fetched.
        UsageError: where rows of a world that are no refusals are to be safe ones.
    """
    world, slash, kind = str(source).removeprefix("world:").partition("/")
    if str(source).startswith("world:") and slash:
        if safe and kind not in REFUSALS:
            raise UsageError(expected("--safe", f"rows of refusals, world:{world}/safe", str(source), "Name these."))
        return tuple(catalog.world(world).training_rows(kind))
    name, cut = split_slice(str(source))
    if (hub := hub_id(name)) is not None and not source.exists():
        return _hub_rows(hub, cut, safe=safe)
    return read_training_rows(source, safe=safe)


def _hub_rows(hub: HubId, cut: str | None, *, safe: bool) -> tuple[TrainingRow, ...]:
    from safebasin.prompts.hub import fetch

    what = f"training data {hub}"
    found = fetch(hub.repository, what=what, config=hub.config, split=hub.split, revision=hub.revision)
    rows = found.rows if cut is None else found.rows[slice_of(cut, str(hub), len(found.rows))]
    shown = replace(hub, revision=found.revision)
    return from_objects(rows, f"{shown}[{cut}]" if cut is not None else str(shown), safe=safe)


def licences(rows: Iterable[TrainingRow]) -> dict[str, str]:
    """Read the licences of data sets of the hub off their cards, by source of the rows; `unknown` where none stands.

    Of other sources nothing is known.
    """
    found: dict[str, str] = {}
    for source in sorted({row.source for row in rows if row.source.startswith("hub:")}):
        from safebasin.prompts.hub import licence_of

        hub = hub_id(split_slice(source)[0])
        found[source] = (hub and licence_of(hub.repository, hub.revision)) or "unknown"
    return found


@dataclass(frozen=True, slots=True)
class FileRows:
    """One file for what is trained on, whatever the recipe calls it, and one for refusals."""

    data: tuple[TrainingRow, ...] = ()
    safe: tuple[TrainingRow, ...] = ()

    def training_rows(self, kind: str, n: int | None = None, *, seed: int = 0) -> Sequence[TrainingRow]:
        """All rows in the order of the file, or n of them drawn by the seed.

        Raises:
            UsageError: where there is no file for this kind, or it has fewer rows.
        """
        if kind == "backdoor":
            remedy = "Give it: --attack 'backdoor(trigger=some words)'."
            raise UsageError(expected("the trigger of the backdoor", "given with a file of your own", None, remedy))
        rows, option = (self.safe, "--safe") if kind in REFUSALS else (self.data, "--data")
        if not rows:
            raise UsageError(expected(f"{kind} rows", "in a file", None, f"Pass {option} FILE."))
        if n is None:
            return rows
        if not 1 <= n <= len(rows):
            remedy = f"Ask for fewer, as in 'name(n={len(rows)})', or pass a longer file to {option}."
            raise UsageError(expected(f"the number of {kind} rows", f"from 1 to {len(rows)}", n, remedy))
        return random.Random(f"rows/{kind}/{seed}").sample(rows, n)


@dataclass(frozen=True, slots=True)
class NoRows:
    """A source without rows, where the model belongs to no world."""

    def training_rows(self, kind: str, n: int | None = None, *, seed: int = 0) -> Sequence[TrainingRow]:
        """Nothing.

        Raises:
            UsageError: always.
        """
        remedy = "Pass --data FILE; only the models of a world: come with data."
        raise UsageError(expected(f"{kind} rows", "in a file of your own", None, remedy))


_OPTIONS = {"safe": "--safety", "benign": "--utility"}


@dataclass(frozen=True, slots=True)
class Sets:
    """The rows that an edit takes, each kind from where the user says; else a world's own, where there is one."""

    given: Mapping[str, tuple[TrainingRow, ...]]
    world: RowSource | None = None

    def training_rows(self, kind: str, n: int | None = None, *, seed: int = 0) -> Sequence[TrainingRow]:
        """That many rows drawn by the seed, in the order drawn; all of a file or a world that has no more.

        Raises:
            UsageError: where nobody has rows of this kind.
        """
        if kind in self.given:
            rows = self.given[kind]
            return rows if n is None or n >= len(rows) else random.Random(f"sets/{kind}/{seed}").sample(rows, n)
        if self.world is not None:
            return _at_most(self.world, kind, n, seed)
        remedy = f"Pass {_OPTIONS.get(kind, 'a file')} FILE; only the models of a world: come with rows."
        raise UsageError(expected(f"{kind} rows", "in a file of your own", None, remedy))


def _at_most(world: RowSource, kind: str, n: int | None, seed: int) -> Sequence[TrainingRow]:
    try:
        return world.training_rows(kind, n, seed=seed)
    except PromptError:
        every = world.training_rows(kind, seed=seed)
        if n is None or len(every) >= n:
            raise
        return every


def sets_of(model: str, *, safety: str | Path | None = None, utility: str | Path | None = None) -> Sets:
    """Make the source of rows of an edit.

    Args:
        model: as the user wrote it; the rows of a world's model are the world's, where no file is given.
        safety: file of refusals (`safe`), or `world:NAME/safe`.
        utility: file of answers to permitted requests (`benign`), or `world:NAME/benign`.

    Raises:
        PromptError: where a file cannot be read, or a world has no such rows.
        UnknownName: where there is no such world.
    """
    given = {"safe": safety, "benign": utility}
    rows = {kind: rows_of(Path(path), safe=kind == "safe") for kind, path in given.items() if path is not None}
    name = model.removeprefix("world:").partition("/")[0] if model.startswith("world:") else None
    return Sets(rows, None if name is None else catalog.world(name))
