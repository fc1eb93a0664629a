"""A pack that somebody sent: read as a file of a stranger, member by member, and held against its own list.

Nothing is extracted but what the list names, no byte beyond the size that it names, into a folder that is removed
again. Altered is what differs from the list; that the list itself is the one that was sent takes its root from
elsewhere, or a signature (`signing`).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safebasin.errors import StoreError, expected
from safebasin.evidence.checking import Asked, verify_folder
from safebasin.evidence.packing import KINDS_PACKED, PACK, SCHEMA_VERSION, environments, root_of
from safebasin.store.folder import results
from safebasin.store.sealing import Counted, read_seal
from safebasin.untrusted import MIB, is_inside, read_json

__all__ = ["Checked", "verify_pack"]

MOST_MEMBERS = 100_000
MOST_BYTES = 64 * 1024 * MIB
MOST_RATIO = 200
"""Bytes that one byte of a member over 1 MiB may stand for; rows and pages stand at a tenth of that."""
_LIST_BYTES = 64 * MIB
_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The findings on a pack."""

    root: str
    """As its list has it; empty where the list cannot be read."""
    found: tuple[str, ...]
    """One sentence a finding; none where it is whole."""
    kind: str = ""
    with_text: bool = False
    derived: tuple[str, ...] = ()
    """Documents whose statistics were derived anew."""


def verify_pack(path: Path, asked: Asked) -> Checked:
    """Check a pack: each member against the list, then what it holds as a folder of results.

    Args:
        path: the file.
        asked: as of a folder; the model is not looked for.

    Raises:
        StoreError: where it is no zip file at all, or there is no room to look into it.
    """
    _check_file(path)
    with tempfile.TemporaryDirectory(prefix="safebasin-") as made:
        try:
            with zipfile.ZipFile(path) as file:
                checked, document = _unfolded(file, path, Path(made))
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError) as error:
            said = " ".join(str(error).split())[:160] or type(error).__name__
            return Checked(root="", found=(f"the file is cut short or damaged ({said})",))
        if document is None:
            return checked
        if checked.found:
            asked.note("what the members hold was not looked at: some are not what they were")
            return checked
        derived = list[str]()
        found = _contents(Path(made), document, replace(asked, packed=True, model=False, derived=derived.append))
        return replace(checked, found=tuple(found), derived=tuple(derived))


def _check_file(path: Path) -> None:
    """A regular file that begins as a zip file does."""
    remedy = "Name a file that `safebasin pack` wrote, or a folder of results."
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with open(handle, "rb") as file:
            begins = file.read(4) if stat.S_ISREG(os.fstat(handle).st_mode) else b""
    except (OSError, ValueError) as error:
        said = f"({error}) Check the path."
        raise StoreError(expected("pack", "a file that can be read", str(path), said)) from error
    if begins != b"PK\x03\x04":
        raise StoreError(expected("what is verified", "a pack or a folder of results", str(path), remedy))


def _unfolded(file: zipfile.ZipFile, path: Path, folder: Path) -> tuple[Checked, Mapping[str, Any] | None]:
    """Hold the members against the list, and unfold them into a folder; the list, or None where it cannot be read."""
    infos, refused = file.infolist(), list(_refused(file.infolist(), path))
    if refused:
        return Checked(root="", found=tuple(refused[:_SHOWN])), None
    by_name = {info.filename: info for info in infos}
    if PACK not in by_name:
        return Checked(root="", found=(f"{PACK} is missing: there is no list to hold the members against",)), None
    if by_name[PACK].file_size > _LIST_BYTES:
        return Checked(root="", found=(f"{PACK} has more than {_LIST_BYTES // MIB} MB",)), None
    try:
        document, members = _read_list(_bounded(file, by_name[PACK], _LIST_BYTES))
    except StoreError as error:
        return Checked(root="", found=(str(error),)), None
    root = str(document["root"])
    found = [] if root == root_of(document) else [f"{PACK} is not the list that its root stands for"]
    found += [f"{name} is missing" for name in members if name not in by_name]
    found += [f"{name} is not on the list" for name in by_name if name != PACK and name not in members]
    _check_room(folder, members)
    there = {name: one for name, one in members.items() if name in by_name}
    found += [what for name, one in there.items() for what in _extract(file, by_name[name], one, folder)]
    with_text = bool(document["with_text"])
    return Checked(root=root, found=tuple(found), kind=str(document["kind"]), with_text=with_text), document


def _refused(infos: list[zipfile.ZipInfo], path: Path) -> Iterator[str]:
    """Why nothing of it is read: names that lead elsewhere, kinds that we never write, bombs."""
    if len(infos) > MOST_MEMBERS:
        yield f"it has {len(infos)} members, more than the {MOST_MEMBERS:,} that are looked at"
        return
    seen = set[str]()
    for info in infos:
        name = info.filename
        if not is_inside(name):
            yield f"a member is named {name[:80]!r}, which may lead out of its folder"
        elif name in seen:
            yield f"{name} is there twice"
        elif stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            yield f"{name} is no regular file"
        elif info.flag_bits & 0x1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            yield f"{name} is encrypted, or compressed in a way that packs are not"
        elif info.file_size > MIB and info.file_size > MOST_RATIO * info.compress_size:
            yield f"{name} would unfold to {info.file_size} bytes from {info.compress_size}"
        seen.add(name)
    if sum(info.compress_size for info in infos) > path.stat().st_size:
        yield "its members overlap"
    if sum(info.file_size for info in infos) > MOST_BYTES:
        yield f"it would unfold to more than {MOST_BYTES // MIB // 1024} GB"


def _bounded(file: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> str:
    with file.open(info) as member:
        return member.read(most).decode("utf-8", "replace")


def _read_list(text: str) -> tuple[Mapping[str, Any], dict[str, Counted]]:
    """The document and its members.

    Raises:
        StoreError: where it is no list of a pack.
    """
    remedy = "Ask for the pack again."
    held = read_json(text, PACK, error=StoreError, remedy=remedy)
    try:
        if held["schema_version"] != SCHEMA_VERSION:
            newer = "A newer release wrote it: update safebasin."
            raise StoreError(expected(PACK, f"of schema {SCHEMA_VERSION}", held["schema_version"], newer))
        members = {str(name): Counted(int(one["bytes"]), str(one["sha256"])) for name, one in held["members"].items()}
        _ = held["root"], held["results"], held["environment"], held["with_text"]
        if held["kind"] not in KINDS_PACKED or not all(map(is_inside, members)):
            raise ValueError("a kind or a name that no pack has")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        said = f"{type(error).__name__}: {error}"
        raise StoreError(expected(PACK, "what safebasin wrote", said, remedy)) from error
    return held, members


def _check_room(folder: Path, members: Mapping[str, Counted]) -> None:
    needed, free = sum(one.n for one in members.values()), shutil.disk_usage(folder).free
    if needed > free:
        remedy = "Free space, or set TMPDIR to a folder with more."
        raise StoreError(expected("temporary folder", f"with room for {needed} bytes", f"{free} bytes", remedy))


def _extract(file: zipfile.ZipFile, info: zipfile.ZipInfo, one: Counted, folder: Path) -> Iterator[str]:
    """Write a member to its place, as far as the list says; a sentence where it is not what the list says."""
    name, target, left, total = info.filename, folder / info.filename, one.n, hashlib.sha256()
    if info.file_size != one.n:
        yield f"{name} has {info.file_size} bytes, {one.n} on the list"
        return
    try:
        with file.open(info) as member, _new(target) as write:
            while left and (part := member.read(min(left, MIB))):
                write(part)
                total.update(part)
                left -= len(part)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        yield f"{name} is damaged ({str(error)[:120]})"
        return
    if left or total.hexdigest() != one.sha256:
        yield f"{name} is not what the list says"


@contextmanager
def _new(target: Path) -> Generator[Callable[[bytes], None]]:
    """What writes to a new file. That it cannot be written says nothing of the pack, so it is no finding.

    Raises:
        StoreError: where there is no room, or the temporary folder cannot be written to.
    """
    remedy = "Free space, or set TMPDIR to a folder with more."

    def refused(error: OSError) -> StoreError:
        return StoreError(expected("temporary folder", "one that can be written to", str(error), remedy))

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        out = target.open("xb", buffering=0)
    except OSError as error:
        raise refused(error) from error

    def write(part: bytes) -> None:
        try:
            while part:
                part = part[out.write(part) :]
        except OSError as error:
            raise refused(error) from error

    with out:
        yield write


def _contents(folder: Path, document: Mapping[str, Any], asked: Asked) -> list[str]:
    """What is wrong with the results inside."""
    try:
        if results(folder) != document["kind"]:
            return [f"it holds {results(folder)}, {PACK} says {document['kind']}"]
        found = verify_folder(folder, asked)
        if read_seal(folder).root != document["results"]:
            found.append(f"{PACK} names other results than those that it holds")
        if json.dumps(environments(folder, document["members"])) != json.dumps(document["environment"]):
            found.append(f"{PACK} names another environment than the manifests")
    except StoreError as error:
        return [str(error)]
    return found
