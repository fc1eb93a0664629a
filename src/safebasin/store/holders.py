"""The lists of digests above a folder: that of an audit names the rows of its line, that of a fleet its audits.

Whoever judges or reports the line itself keeps them true about it. A list that was wrong about the folder before is
left as it is, so that what was altered does not become sound by the way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from safebasin.errors import StoreError
from safebasin.store.sealing import Counted, Seal, read_seal, row_digests, sha256_of
from safebasin.writing import DIGESTS, write_text

__all__ = ["find_holders", "renew"]

_T = TypeVar("_T", Counted, Mapping[str, Counted], str)


def find_holders(folder: Path) -> tuple[Path, ...]:
    """Folders above one whose list of digests is right about it, the nearest first. To be asked before it changes.

    Args:
        folder: of results, inside those of an audit, a fleet or claims; or of itself, which has none.
    """
    inner, found = folder.resolve(), list[Path]()
    for outer in inner.parents:
        if not (outer / DIGESTS).is_file():
            continue
        try:
            if not _is_right(outer, inner):
                break
        except StoreError:
            break
        found.append(outer)
        inner = outer
    return tuple(found)


def renew(folder: Path, holders: Sequence[Path]) -> None:
    """Write what the lists of such folders say of one anew: by the root of its own list, and so on upwards.

    Args:
        folder: of results, with its list of digests.
        holders: as `find_holders` gave them.

    Raises:
        StoreError: where a list cannot be read or written.
    """
    inner = folder.resolve()
    for outer in holders:
        held, part = read_seal(outer), inner.relative_to(outer).as_posix()
        made = replace(
            held,
            files=_part(held.files, part, inside=False),
            databases=_part(held.databases, part, inside=False),
            folders={**_part(held.folders, part, inside=False), part: read_seal(inner).root},
        )
        write_text(outer / DIGESTS, json.dumps({**made.document, "root": made.root}, indent=1) + "\n")
        inner = outer


def _is_right(outer: Path, inner: Path) -> bool:
    """Tell whether a list names something of a folder, and all that it names is as it says."""
    held: Seal = read_seal(outer)
    part = inner.relative_to(outer).as_posix()
    files, databases = _part(held.files, part), _part(held.databases, part)
    folders = _part(held.folders, part)
    return (
        bool(files or databases or folders)
        and all((outer / name).is_file() and sha256_of(outer / name) == one for name, one in files.items())
        and all(row_digests((outer / name).parent) == dict(tables) for name, tables in databases.items())
        and all(read_seal(outer / name).root == root for name, root in folders.items())
    )


def _part(named: Mapping[str, _T], part: str, *, inside: bool = True) -> dict[str, _T]:
    """What is named of a folder and below it, or all else."""
    return {name: one for name, one in named.items() if (name == part or name.startswith(f"{part}/")) == inside}
