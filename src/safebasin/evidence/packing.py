"""A pack: one file that holds a folder of results for others to check. Made here; read by `unpacking`.

A zip with `pack.json` first: size and SHA-256 of every other member, what measured it, and one root that stands for all
of it. The members are the files that the folder's `digests.json` lists, that list, and copies of the databases, with
texts or without any. Same folder, same bytes. Models, links and whatever else lies in the folder stay out.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safebasin.errors import StoreError, UsageError, expected
from safebasin.evidence.checking import Asked, verify_folder
from safebasin.records import canonical_json
from safebasin.run.manifest import read_manifest
from safebasin.store.folder import MANIFEST, results
from safebasin.store.sealing import Counted, Seal, read_seal, sha256_of
from safebasin.store.withholding import copy_database
from safebasin.writing import DIGESTS, KINDS, target_file, whole

__all__ = ["KINDS_PACKED", "PACK", "Packed", "environments", "pack", "root_of"]

PACK = "pack.json"
SCHEMA_VERSION = 1
KINDS_PACKED = tuple(name for name in KINDS if name not in ("a tuned model", "a sweep"))
"""All but models, which are their own file: their list of digests travels beside the weights."""
_ROWS = (".jsonl", ".json.gz", ".parquet", ".tsv", ".txt")
"""Endings of files that may hold texts, which redaction does not look into."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
_STORED = (".png",)
"""Endings of what is compressed already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A pack that was written."""

    path: Path
    root: str
    """SHA-256 that stands for all of it."""
    members: int


def pack(
    folder: Path, out: Path, *, with_text: bool = False, note: Callable[[str], None] = lambda text: None
) -> Packed:
    """Write a pack of a folder of results.

    Args:
        folder: of one of `KINDS_PACKED`, as its command left it.
        out: the file, outside of what safebasin keeps.
        with_text: whether the databases hold prompts, responses and the words of judges.
        note: told what could not be checked of the folder.

    Raises:
        UsageError: where the folder is no such thing, is not sound, or its report shows texts that the pack withholds.
    """
    kind = results(folder)
    if kind not in KINDS_PACKED:
        remedy = "Copy its folder, which holds digests.json: safebasin verify checks it there."
        raise UsageError(expected("folder to pack", "one of results, not of weights", f"that of {kind}", remedy))
    target = target_file(out, "output (-o)", reads=[folder])
    _check(folder, note)
    seals = dict(_seals(folder, ""))
    shown = [name or "." for name, one in seals.items() if one.with_text]
    if shown and not with_text:
        remedy = f"Run: safebasin report {folder / shown[0]}; or pack --with-text."
        raise UsageError(expected("report in a pack without texts", "redacted", "one written --with-text", remedy))
    open_ = [f"{where}/{name}" if where else name for where, one in seals.items() for name in one.files]
    rows = [name for name in open_ if name.endswith(_ROWS)]
    if rows and not with_text:
        remedy = "Pack --with-text, or take it out of the folder."
        raise UsageError(expected("folder to pack without texts", "one without files of rows", rows[0], remedy))
    with tempfile.TemporaryDirectory(prefix="safebasin-", dir=target.parent) as made:
        members = dict(sorted(_members(folder, seals, Path(made), with_text=with_text)))
        document = {
            "schema_version": SCHEMA_VERSION,
            "version": version("safebasin"),
            "kind": kind,
            "with_text": with_text,
            "results": seals[""].root,
            "environment": environments(folder, members),
            "members": {name: _entry(sha256_of(path)) for name, path in members.items()},
        }
        root = root_of(document)
        with whole(target) as part, zipfile.ZipFile(part, "w") as file:
            text = json.dumps({**document, "root": root}, indent=1) + "\n"
            file.writestr(_info(PACK), text)
            for name, path in members.items():
                _add(file, name, path)
    return Packed(path=out, root=root, members=len(members))


def root_of(document: Mapping[str, Any]) -> str:
    """SHA-256 of a pack's list without its root, as canonical JSON."""
    rest = {key: value for key, value in document.items() if key != "root"}
    return hashlib.sha256(canonical_json(rest).encode()).hexdigest()


def environments(folder: Path, names: Mapping[str, object]) -> dict[str, object]:
    """Path of each manifest among some members → what it says of the machine and the versions that measured."""
    manifests = [name for name in names if Path(name).name == MANIFEST and "history" not in Path(name).parts]
    return {name: read_manifest((folder / name).parent).get("environment") for name in sorted(manifests)}


def _check(folder: Path, note: Callable[[str], None]) -> None:
    """A pack is made of what is sound: one of anything else would only say so later, elsewhere."""
    if not (folder / DIGESTS).is_file():
        remedy = f"Run: safebasin report {folder}."
        raise StoreError(expected("folder to pack", f"one with {DIGESTS}", str(folder), remedy))
    found = verify_folder(folder, Asked(model=False, note=note))
    if found:
        more = f" and {len(found) - 1} more findings" if len(found) > 1 else ""
        remedy = f"See: safebasin verify {folder}."
        raise StoreError(expected("folder to pack", "sound", f"{found[0]}{more}", remedy))


def _seals(folder: Path, prefix: str) -> Iterator[tuple[str, Seal]]:
    """Path of each folder with a list of its own → the list; the outermost one is at the empty path."""
    sealed = read_seal(folder)
    yield prefix.rstrip("/"), sealed
    for name in sealed.folders:
        yield from _seals(folder / name, f"{prefix}{name}/")


def _members(folder: Path, seals: Mapping[str, Seal], made: Path, *, with_text: bool) -> Iterator[tuple[str, Path]]:
    """Name of each member → the file it is made of; databases are copied into a folder first."""
    for where, sealed in seals.items():
        prefix = f"{where}/" if where else ""
        for name in (*sealed.files, DIGESTS):
            yield f"{prefix}{name}", folder / f"{prefix}{name}"
        for name in sealed.databases:
            copy = made / f"{prefix}{name}"
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy_database((folder / f"{prefix}{name}").parent, copy, with_text=with_text)
            yield f"{prefix}{name}", copy


def _entry(one: Counted) -> dict[str, object]:
    return {"bytes": one.n, "sha256": one.sha256}


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.create_system, info.external_attr = 3, 0o100644 << 16
    info.compress_type = zipfile.ZIP_STORED if name.endswith(_STORED) else zipfile.ZIP_DEFLATED
    return info


def _add(file: zipfile.ZipFile, name: str, path: Path) -> None:
    info = _info(name)
    info.file_size = path.stat().st_size
    with path.open("rb") as source, file.open(info, "w", force_zip64=info.file_size >= 2**31) as member:
        shutil.copyfileobj(source, member, 2**20)
