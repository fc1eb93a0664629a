"""The folders that a viewer shows: found below some roots, each under a name that links can keep. Reads none.

A root may be a link, since the user named it. No link below one is followed: what a tree shows lies in it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from safebasin.errors import UsageError, expected
from safebasin.store.folder import DATABASE, LANDSCAPE
from safebasin.writing import KINDS, Kind

__all__ = ["Found", "Root", "file_of", "find", "is_inside", "make_roots", "walk"]

DEEPEST = 12
"""Levels of folders below a root that are looked into."""
MOST = 20_000
"""Folders that are looked into; a tree of more is shown as far as that."""
OF_MODELS = "a tuned model"
"""The kind that has nothing to show: weights."""
PAGES = ("report.html", "models.html")
"""Pages that commands write into their folders."""
_SKIPPED = re.compile(r"\..*|__pycache__|node_modules|site-packages|figures|history")
_FIGURE = re.compile(r"figures/[\w.=+() -]+\.(?:png|svg)")


@dataclass(frozen=True, slots=True)
class Root:
    """A folder that was named on the command line."""

    name: str
    """First part of the ids of what is below."""
    path: Path
    """Resolved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A folder with something to show."""

    id: str
    """Name of the root and path below it, with `/`: what links hold."""
    path: Path
    kind: Kind
    problem: str = ""
    """Why it is not opened; empty where it may be."""

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.name


def make_roots(folders: Sequence[Path]) -> tuple[Root, ...]:
    """The roots of a tree; a name that stands twice gets a number.

    Raises:
        UsageError: where one is no folder.
    """
    found: list[Root] = []
    for folder in folders:
        try:
            path = folder.expanduser().resolve(strict=True)
        except (OSError, RuntimeError, ValueError) as error:
            raise UsageError(_no_folder(folder)) from error
        if not path.is_dir():
            raise UsageError(_no_folder(folder))
        if path in (root.path for root in found):
            continue
        taken, name, number = {root.name for root in found}, path.name or "root", 2
        while name in taken:
            name, number = f"{path.name}-{number}", number + 1
        found.append(Root(name, path))
    return tuple(found)


def _no_folder(folder: Path) -> str:
    return expected("what is viewed", "a folder that exists", str(folder), "Check the path.")


def walk(roots: Sequence[Root]) -> Iterator[Found]:
    """Every folder with something to show, those inside of others too, by name."""
    left = [MOST]
    for root in roots:
        yield from _below(root.path, root.name, 0, left)


def _below(path: Path, id: str, depth: int, left: list[int]) -> Iterator[Found]:
    left[0] -= 1
    if left[0] < 0:
        return
    try:
        with os.scandir(path) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        if depth == 0:
            raise UsageError(
                expected("what is viewed", "a folder that can be read", str(path), f"({error})")
            ) from error
        return
    found = _seen(path, id, listed)
    if found is not None:
        yield found
    if depth < DEEPEST and not (found is not None and found.kind.name == OF_MODELS):
        for entry in listed:
            if entry.is_dir(follow_symlinks=False) and not _SKIPPED.fullmatch(entry.name):
                yield from _below(path / entry.name, f"{id}/{entry.name}", depth + 1, left)


def _seen(path: Path, id: str, listed: Sequence[os.DirEntry[str]]) -> Found | None:
    """What a folder is by the files in it; None where it is nothing that is shown."""
    names = {entry.name: entry for entry in listed}
    for kind in KINDS.values():
        for mark in kind.marks:
            if kind.name == OF_MODELS or mark not in names:
                continue
            if names[mark].is_symlink():
                return Found(id=id, path=path, kind=kind, problem=f"{mark} is a link, which is not followed")
            if names[mark].is_file(follow_symlinks=False):
                return Found(id=id, path=path, kind=kind)
    if LANDSCAPE in names:
        return Found(
            id=id, path=path, kind=KINDS["a study"], problem=f"{DATABASE} is not there: its responses are gone"
        )
    return None


def find(roots: Sequence[Root], id: str) -> Found | None:
    """The folder of an id, or None where there is none, or a link is on the way."""
    first, *parts = id.split("/")
    root = next((root for root in roots if root.name == first), None)
    if root is None or any(_SKIPPED.fullmatch(part) or part in ("", "..") for part in parts):
        return None
    path = root.path
    for part in parts:
        path = path / part
        if "\0" in part or path.is_symlink() or not path.is_dir():
            return None
    try:
        with os.scandir(path) as entries:
            return _seen(path, id, list(entries))
    except OSError:
        return None


def file_of(found: Found, name: str) -> Path | None:
    """A figure or the page of a folder, if it is a plain file there; None for all else, and for links.

    Args:
        found: the folder.
        name: one of `PAGES`, or a name like `figures/asr.png`.
    """
    if name not in PAGES and not _FIGURE.fullmatch(name):
        return None
    path = found.path / name
    parts = (path.parent, path) if path.parent != found.path else (path,)
    return None if any(part.is_symlink() for part in parts) or not path.is_file() else path


def is_inside(id: str, others: Collection[str]) -> bool:
    """Tell whether a folder lies within another that is shown."""
    parts = id.split("/")
    return any("/".join(parts[:n]) in others for n in range(1, len(parts)))
