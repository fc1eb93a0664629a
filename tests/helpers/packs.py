"""A study with results in a moment, and packs that somebody changed."""

from __future__ import annotations

import json
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

from safebasin import study as studies
from safebasin.engines.scripted import ScriptedEngine
from safebasin.evidence.packing import PACK, root_of
from safebasin.landscape.landscape_json import to_json
from safebasin.landscape.results import read_landscape
from safebasin.landscape.stored import StoredStudy
from safebasin.run.execute import measure
from safebasin.store.digests import digest
from safebasin.store.sealing import seal
from safebasin.writing import write_text

GUILD = "world:guild/aligned"
Members = dict[str, bytes]


def small_study(folder: Path) -> Path:
    """A scripted study with a landscape and its list of digests, without page and figures."""
    made = studies.make({"model": GUILD, "limit": 3, "batch_size": 2, "axes": [{"range": "-0.5:0.5:3"}]})
    measure(made, folder, engine=ScriptedEngine(model=GUILD))
    return publish(folder)


def publish(folder: Path) -> Path:
    """The results of what is in a folder."""
    with StoredStudy.open(folder) as study:
        write_text(folder / "landscape.json", to_json(read_landscape(study)))
    seal(folder)
    return folder


def change(database: Path, statement: str, *given: object) -> None:
    """Change rows of a database behind its back; `content_digest` is at hand for who knows of digests."""
    with closing(sqlite3.connect(database)) as db, db:
        db.execute("PRAGMA secure_delete = OFF")  # some builds wipe what is deleted
        db.create_function("content_digest", -1, digest, deterministic=True)
        db.execute(statement, given)


def members(pack: Path) -> Members:
    """Name → bytes."""
    with zipfile.ZipFile(pack) as file:
        return {name: file.read(name) for name in file.namelist()}


def write(pack: Path, held: Members) -> Path:
    """A zip of these members."""
    with zipfile.ZipFile(pack, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in held.items():
            file.writestr(name, data)
    return pack


def listed(held: Members) -> Members:
    """The same with a list that fits them: by somebody who knows how packs are made."""
    document = json.loads(held[PACK])
    document["members"] = {
        name: {"bytes": len(data), "sha256": sha256(data).hexdigest()} for name, data in held.items() if name != PACK
    }
    return {**held, PACK: json.dumps({**document, "root": root_of(document)}).encode()}


def edited(held: Members, name: str, edit: Callable[[Any], object]) -> Members:
    """With a JSON member changed in place."""
    document = json.loads(held[name])
    edit(document)
    return {**held, name: json.dumps(document, indent=1).encode() + b"\n"}


def with_rows(held: Members, folder: Path, statement: str) -> Members:
    """With the rows of its database changed; a folder to work in."""
    path = folder / "changed.sqlite"
    path.write_bytes(held["study.sqlite"])
    change(path, statement)
    return {**held, "study.sqlite": path.read_bytes()}
