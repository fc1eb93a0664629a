"""Files that we write: the one place where it is decided what may be written to, and the one way in which it is done.

A file is there whole or not at all: it is written under another name in its folder, brought to the disk, and renamed.
What safebasin keeps (a study, an audit, a comparison, claims, a tuned model) and what a command reads are never its
target, by whatever path. Not the database of a study, which has transactions, nor folders of weights, which are
renamed whole (`models.writing`).
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from safebasin.errors import StoreError, UsageError, expected

__all__ = [
    "DIGESTS",
    "KINDS",
    "Kind",
    "check_no_file",
    "check_places",
    "is_leftover",
    "sync_folder",
    "target_file",
    "target_folder",
    "whole",
    "write_bytes",
    "write_text",
]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of folder that safebasin keeps."""

    name: str
    """As a user would say it, after "the folder of"."""
    marks: tuple[str, ...]
    """The files by which it is known."""
    names: str = ""
    """Pattern of the names that are its own; every one if empty."""

    def is_here(self, folder: Path) -> bool:
        """Tell whether a folder is of this kind."""
        return any((folder / mark).is_file() for mark in self.marks)

    def owns(self, name: str) -> bool:
        """Tell whether a name directly in its folder is its own."""
        if not self.names or name in (*self.marks, DIGESTS, ".gitignore", "error.log"):
            return True
        return re.fullmatch(self.names, name) is not None or is_leftover(name)


DIGESTS = "digests.json"
"""The list of digests in every folder of results (`safebasin.store.sealing`)."""
_STUDY = (
    r"study\.sqlite-.*|study\.yaml|manifest\.json|landscape\.json|report\.html|figures|history|heartbeat\.json|\.writ.*"
)
_SWEEP = r"models\.json|models\.html"
"""What a sweep adds to its study."""
_AUDIT = r"report\.html|line|base|tuned|basin-base|basin-tuned|dequantized|served|\..*"
KINDS = {
    kind.name: kind
    for kind in (
        Kind("a study", ("study.sqlite",), f"{_STUDY}|{_SWEEP}"),
        Kind("an audit", ("verdict.json", "looks.json", "distance.json"), _AUDIT),
        Kind("an audit of a fleet", ("fleet.json",), r"report\.html|models"),
        Kind("a comparison", ("comparison.json",), r"report\.html|figures|models"),
        Kind("located layers", ("layers.json",), r"report\.html|figures"),
        Kind("forced beginnings", ("prefill.json",), r"report\.html|figures"),
        Kind("a screen", ("screen.json",), r"report\.html|figures"),
        Kind("a mechanism", ("mechanism.json",), r"report\.html|figures"),
        Kind("a comparison of defenses", ("defenses.json",), r"report\.html|figures|arms|models|stress"),
        Kind("claims", ("claims.json",), r"studies|models|audits|edits|rows|suffixed-.*"),
        Kind("a sweep", ("sweep.json",), r"(?:lr|batch|epochs|rank|seed)-.*|moderation\.jsonl"),
        Kind("a tuned model", ("safebasin.json",)),
    )
}
"""Kind of folder by name."""
_FILES = (DIGESTS, "report.html", "study.yaml", "manifest.json", "landscape.json", "models.json", "models.html")
_FOLDERS = ("figures", "history", "models")

_SERIAL = itertools.count()
_LEFTOVER = re.compile(r"\..+\.\d+")


def is_leftover(name: str) -> bool:
    """Tell whether `whole` may have left a file of this name where it was killed."""
    return _LEFTOVER.fullmatch(name) is not None


def target_file(path: Path, what: str, *, reads: Iterable[Path] = ()) -> Path:
    """The file that a user names as output, links followed, if it may be written to.

    Args:
        path: as given.
        what: the option, for messages.
        reads: files, and folders of ours, that the command reads.

    Raises:
        UsageError: where it is a folder or a device, has no folder, is what is read, or belongs to what we keep.
    """
    remedy = "Name another file."
    try:
        real = path.resolve()
        if real.exists() and not real.is_file():
            raise UsageError(expected(what, "a regular file, or a new one", str(path), remedy))
        if not real.parent.is_dir():
            raise UsageError(expected(what, "a file in a folder that exists", str(path), "Make the folder first."))
        for read in reads:
            if real.exists() and any(real.samefile(own) for own in _files(read)):
                raise UsageError(expected(what, f"another file than those of {read}", str(path), remedy))
        for folder in real.parents:
            kind = _owner(folder, real)
            if kind is not None:
                constraint = f"outside of the files of {kind.name} in {folder}"
                raise UsageError(expected(what, constraint, str(path), remedy))
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise UsageError(expected(what, "a path that can be written to", str(path), f"({error}) {remedy}")) from error
    return real


def _files(read: Path) -> Iterator[Path]:
    """What is read: the file itself, or the files of a folder of ours."""
    if not read.is_dir():
        yield from [read] * read.exists()
        return
    kinds = [kind for kind in KINDS.values() if kind.is_here(read)]
    yield from (p for p in read.iterdir() if p.is_file() and any(kind.owns(p.name) for kind in kinds))


def _owner(folder: Path, real: Path) -> Kind | None:
    """The kind of a folder above a file, if the file is its own."""
    first = real.relative_to(folder).parts[0]
    for kind in KINDS.values():
        if kind.is_here(folder) and kind.owns(first) and (kind.names or real.exists()):
            return kind
    return None


def target_folder(path: Path, kind: Kind, *, what: str = "", error: type[UsageError] = StoreError) -> Path:
    """The folder that a user names as output, if it is new, empty, or of this kind and no other. Not made yet.

    Args:
        path: as given.
        kind: what is to be kept there.
        what: its name for messages, if not that of the kind.
        error: kind of the error.

    Raises:
        UsageError: of the given kind, where it, or what it is below, is a file, it is that of something else, or
            cannot be read or written to.
    """
    what, remedy = what or f"the folder of {kind.name}", "Choose another folder with -o."
    try:
        check_no_file(path, what, remedy, error)
        if not path.exists():
            return path
        other = next((k for k in KINDS.values() if k.is_here(path) and k is not kind), None)
        if other is not None:
            raise error(expected(what, f"another one than that of {other.name}", str(path), remedy))
        check_places(path, kind, error)
        if not kind.is_here(path) and not all(kind.owns(p.name) for p in path.iterdir()):
            raise error(expected(what, f"empty, or the folder of {kind.name}", str(path), remedy))
    except OSError as caught:
        raise error(expected(what, "writable", str(path), f"({caught}) {remedy}")) from caught
    return path


def check_no_file(path: Path, what: str, remedy: str, error: type[UsageError] = StoreError) -> None:
    """Check that a folder can be made there, or is there: neither it nor what it is below is a file.

    Args:
        path: of the folder.
        what: its name for messages.
        remedy: what to do, for messages.
        error: kind of the error.

    Raises:
        UsageError: of the given kind, naming the file.
        OSError: where it cannot be looked at.
    """
    there = next((above for above in (path, *path.absolute().parents) if above.exists()), path)
    if not there.is_dir():
        said = "It is a file." if there == path else f"{there} is a file."
        raise error(expected(what, "a folder", str(path), f"{said} {remedy}"))


def check_places(folder: Path, kind: Kind, error: type[UsageError] = StoreError) -> None:
    """Check, before anything is measured, that no folder is where results put a file, nor the other way round.

    Args:
        folder: of this kind; it is there.
        kind: what is kept there.
        error: kind of the error.

    Raises:
        UsageError: of the given kind, naming the first.
    """
    remedy = "Move it away, then run the same command again."
    for name in (*kind.marks, *_FILES, *_FOLDERS):
        path = folder / name
        if not kind.owns(name) or not os.path.lexists(path):
            continue
        if name in _FOLDERS and not path.is_dir():
            raise error(expected(f"{name} of {folder}", "a folder", "something else of this name", remedy))
        if name not in _FOLDERS and path.exists() and not path.is_file():
            raise error(expected(f"{name} of {folder}", "a regular file", "something else of this name", remedy))


@contextmanager
def whole(path: Path) -> Generator[Path]:
    """A path to write to in the block, which then becomes `path`; the old file stays where anything fails or ends.

    Raises:
        StoreError: where the disk is full or not writable.
    """
    temporary = path.with_name(f".{next(_SERIAL)}-part.{os.getpid()}")
    remedy = "Mend the path or free space, then run the same command again."
    try:
        try:
            yield temporary
            _settle(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(expected(path.name, "written to disk", str(path), f"({error}) {remedy}")) from error


def _settle(temporary: Path, path: Path) -> None:
    """Bring a file to the disk, then give it its name: in the other order a power cut could leave an empty file."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    with suppress(FileNotFoundError):
        temporary.chmod(path.stat().st_mode)
    temporary.replace(path)
    with suppress(OSError):  # a file system whose folders cannot be opened keeps them in its own way
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def sync_folder(folder: Path) -> None:
    """Bring every file of a folder to the disk, before the folder gets its name.

    Raises:
        OSError: where the disk is full.
    """
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Write a text file as UTF-8, a lone surrogate as a visible escape.

    Raises:
        StoreError: as `whole`.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file.

    Raises:
        StoreError: as `whole`.
    """
    with whole(path) as temporary:
        temporary.write_bytes(data)
