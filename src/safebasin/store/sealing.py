"""`digests.json`: one list of digests over everything that a folder of results holds, its databases by their rows.

Written last, when results are. Rows count by their content and not by where they lie in the file, so that neither
vacuuming nor another order of writing changes a digest. Not a signature: whoever can write the folder can write this
file too. It finds damage, and what was changed without care; what else it takes is said in `docs/evidence.md`.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safebasin.errors import StoreError, expected
from safebasin.records import canonical_json
from safebasin.store.coded import Combination, coded
from safebasin.store.db import StudyStore
from safebasin.store.digests import DIGEST_BYTES, EVERY, WITHHELD
from safebasin.store.folder import DATABASE, require
from safebasin.untrusted import MIB, is_inside, read_json, read_text
from safebasin.writing import DIGESTS, KINDS, is_leftover, write_text

__all__ = ["Counted", "Seal", "read_seal", "row_digests", "seal", "sha256_of", "walk"]

SCHEMA_VERSION = 1
_LARGE = ("responses", "scores", "scores_under")
"""Tables that grow with the responses, beside that of the verdicts."""
LATER = ("weights_hash", WITHHELD)
"""Facts of a database that are no result: set by `verify --full`, and in a copy without texts."""
_MODEL = ("config.json", "adapter_config.json")
"""A folder with one of these is a model, which studies know by its fingerprint."""


@dataclass(frozen=True, slots=True)
class Counted:
    """An amount and its SHA-256: bytes of a file, rows of a table."""

    n: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """`digests.json`. Paths are relative, with `/`."""

    version: str
    """Of the safebasin that wrote the results."""
    with_text: bool
    """Whether the report shows texts that redaction withholds."""
    files: Mapping[str, Counted]
    databases: Mapping[str, Mapping[str, Counted]]
    """Path of a database → table (`verdicts` by judge and version) → its rows."""
    folders: Mapping[str, str]
    """Path of a folder that has such a list of its own → its root."""

    @property
    def document(self) -> dict[str, Any]:
        """As plain values, the root left out."""
        return {
            "schema_version": SCHEMA_VERSION,
            "version": self.version,
            "with_text": self.with_text,
            "files": {name: {"bytes": one.n, "sha256": one.sha256} for name, one in sorted(self.files.items())},
            "databases": {
                name: {table: {"rows": one.n, "sha256": one.sha256} for table, one in sorted(tables.items())}
                for name, tables in sorted(self.databases.items())
            },
            "folders": dict(sorted(self.folders.items())),
        }

    @property
    def root(self) -> str:
        """SHA-256 of all of it: one value that stands for the whole folder."""
        return hashlib.sha256(canonical_json(self.document).encode()).hexdigest()


def seal(folder: Path, *, with_text: bool = False) -> str:
    """Write the list of digests of a folder of results; returns its root.

    Args:
        folder: of any kind that safebasin keeps.
        with_text: whether its report shows texts that redaction withholds.
    """
    files, databases, folders = dict[str, Counted](), dict[str, Mapping[str, Counted]](), dict[str, str]()
    for name in walk(folder):
        path = folder / name
        if path.name == DIGESTS:
            folders[str(Path(name).parent)] = read_seal(path.parent).root
        elif path.name == DATABASE:
            databases[name] = row_digests(path.parent)
        else:
            files[name] = sha256_of(path)
    made = Seal(version=version("safebasin"), with_text=with_text, files=files, databases=databases, folders=folders)
    write_text(folder / DIGESTS, json.dumps({**made.document, "root": made.root}, indent=1) + "\n")
    return made.root


def read_seal(folder: Path) -> Seal:
    """The list of digests of a folder.

    Raises:
        StoreError: where there is none, it is no such list, or it is not the one that its root stands for.
    """
    path, remedy = folder / DIGESTS, "Restore it; `safebasin report DIR` writes it anew for what is there now."
    text = read_text(path, DIGESTS, error=StoreError, most=64 * MIB)
    held = read_json(text, f"{DIGESTS} of {folder.name}", error=StoreError, remedy=remedy)
    try:
        if held["schema_version"] != SCHEMA_VERSION:
            newer = "A newer release wrote it: update safebasin."
            raise StoreError(expected(DIGESTS, f"of schema {SCHEMA_VERSION}", held["schema_version"], newer))
        found = Seal(
            version=str(held["version"]),
            with_text=bool(held["with_text"]),
            files=_counted(held["files"], "bytes"),
            databases={str(name): _counted(tables, "rows") for name, tables in held["databases"].items()},
            folders={str(name): str(root) for name, root in held["folders"].items()},
        )
        root = str(held["root"])
        if any(Path(name).name != DATABASE for name in found.databases):
            raise ValueError(f"a database of another name than {DATABASE}")
        if not all(map(is_inside, (*found.files, *found.databases, *found.folders))):
            raise ValueError("a name that leads out of the folder")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        said = f"{type(error).__name__}: {error}"
        raise StoreError(expected(f"{DIGESTS} of {folder.name}", "what safebasin wrote", said, remedy)) from error
    if root != found.root:
        raise StoreError(expected(f"{DIGESTS} of {folder.name}", f"of root {found.root[:16]}", root[:16], remedy))
    return found


def _counted(held: Mapping[str, Any], unit: str) -> dict[str, Counted]:
    return {str(name): Counted(int(one[unit]), str(one["sha256"])) for name, one in held.items()}


def sha256_of(path: Path) -> Counted:
    """Size and digest of a file.

    Raises:
        StoreError: where it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return Counted(os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest())
    except OSError as error:
        raise StoreError(expected(path.name, "a file that can be read", str(path), f"({error}) Mend it.")) from error


def row_digests(folder: Path) -> dict[str, Counted]:
    """The rows of the database of a folder: for each table, the digest over those of its rows, sorted.

    Rows that have none yet (of a release older than digests) count as such.
    """
    found: dict[str, Counted] = {}
    with StudyStore.open(require(folder)) as store, store.reading() as db:
        for table in EVERY:
            if table == "verdicts":  # each judge by itself: judging with a further one leaves the others as they are
                parts = _many(db, table, ("judge", "version"))
                found |= {f"verdicts {judge}@{number}": parts[judge, number] for judge, number in sorted(parts)}
            elif table in _LARGE:
                found[table] = _many(db, table, ("1",)).get((1,), _total(()))
            else:
                which = "WHERE key NOT IN (?, ?)" if table == "meta" else ""
                rows = db.execute(f"SELECT digest FROM {table} {which} ORDER BY digest", LATER if which else ())
                found[table] = _total(digest for (digest,) in rows)
    return found


def _many(db: sqlite3.Connection, table: str, by: Sequence[str]) -> dict[Combination, Counted]:
    """Digests of a large table, of the rows of each combination of some columns: digests are numbers that numpy sorts.

    Args:
        db: of a study.
        table: one of many rows.
        by: the columns; `1` is all rows together.
    """
    is_plain = f"typeof(digest) = 'blob' AND length(digest) = {DIGEST_BYTES}"
    parts: dict[Combination, list[NDArray[np.uint64]]] = {}
    for known, codes, texts in coded(db, table, by, "hex(digest)", where=is_plain):
        digests = np.frombuffer(bytes.fromhex(str(texts)), dtype=">u8").astype(np.uint64)
        for number in map(int, np.unique(codes)):
            parts.setdefault(known[number], []).append(digests[codes == number])
    plain = sum(one.size for some in parts.values() for one in some)
    odd: list[Combination] = []
    if plain < db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]:
        odd = db.execute(f"SELECT DISTINCT {', '.join(by)} FROM {table} WHERE NOT ({is_plain})").fetchall()
    found = {kind: _of_numbers(parts.pop(kind)) for kind in [*parts] if kind not in odd}
    return found | {kind: _one_by_one(db, table, by, kind) for kind in odd}


def _of_numbers(parts: Sequence[NDArray[np.uint64]]) -> Counted:
    """The total of some digests, as numbers that are not sorted."""
    every = np.concatenate(parts)
    every.sort()
    return Counted(every.size, hashlib.sha256(every.astype(">u8").tobytes()).hexdigest())


def _one_by_one(db: sqlite3.Connection, table: str, by: Sequence[str], kind: Combination) -> Counted:
    """The same of rows of which some have no digest, or not one of ours."""
    chosen = " AND ".join(f"{column} IS ?" for column in by)
    rows = db.execute(f"SELECT digest FROM {table} WHERE {chosen} ORDER BY digest", kind)
    return _total(digest for (digest,) in rows)


def _total(digests: Iterable[object]) -> Counted:
    n, total = 0, hashlib.sha256()
    for digest in digests:
        total.update(digest if isinstance(digest, bytes) else b"none")
        n += 1
    return Counted(n, total.hexdigest())


def walk(folder: Path) -> Iterator[str]:
    """Relative paths of what a list of digests covers, in order; of a folder inside that has its own, that list alone.

    Left out are links, hidden files, logs of errors, models (but the folder itself) and what is not of its kind.
    """
    kind = next((kind for kind in KINDS.values() if kind.is_here(folder)), None)
    for path in sorted(folder.iterdir()):
        if path.name != DIGESTS and (kind is None or kind.owns(path.name)):
            yield from _inside(folder, path)


def _inside(top: Path, path: Path) -> Iterator[str]:
    name = path.name
    if path.is_symlink() or name.startswith(".") or is_leftover(name) or name == "error.log":
        return
    if path.is_file() and not name.startswith(f"{DATABASE}-"):
        yield path.relative_to(top).as_posix()
    elif path.is_dir() and (path / DIGESTS).is_file():
        yield (path / DIGESTS).relative_to(top).as_posix()
    elif path.is_dir() and not any((path / mark).exists() for mark in _MODEL):
        for inner in sorted(path.iterdir()):
            yield from _inside(top, inner)
