"""Is a folder of results what it was when they were written? Its files, the rows of its databases, its plan, its model.

Everything is compared with `digests.json` of the folder itself (`safebasin.store.sealing`); what that shows and what it
cannot show is said in `docs/evidence.md`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from safebasin.audit.fleet import FLEET
from safebasin.audit.verdict import VERDICT
from safebasin.errors import StoreError, UsageError, expected
from safebasin.evidence.recomputing import (
    comparison_findings,
    landscape_findings,
    sweep_findings,
    verdict_findings,
)
from safebasin.run.verify import verify as verify_study
from safebasin.store.db import StudyStore
from safebasin.store.digests import LATE
from safebasin.store.folder import DATABASE, LANDSCAPE, require, results
from safebasin.store.sealing import Counted, Seal, read_seal, row_digests, sha256_of, walk
from safebasin.untrusted import is_inside, read_json, read_text
from safebasin.writing import DIGESTS

__all__ = ["Asked", "verify_folder"]

_MODELS = ("a tuned model", "a sweep")
"""Kinds that get a list of digests when they are whole, and hold no statistics."""
_ROWLESS = {
    "a comparison": "comparison.json",
    "located layers": "layers.json",
    "forced beginnings": "prefill.json",
    "a screen": "screen.json",
    "a mechanism": "mechanism.json",
}
"""Kind → its document, where no rows of what it is made of lie in the folder."""
_SWEPT = "models.json"
"""What a study of many tuned models has for results, in place of a landscape."""
SHOWN = 20
"""Findings of one sort that are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The checks of a folder that are asked for."""

    full: bool = False
    """Hash the weights of the model too."""
    recompute: bool = False
    """Derive every statistic anew from the rows, and compare."""
    model: bool = True
    """Look whether the model is still the one that was measured."""
    packed: bool = False
    """Whether it comes out of a pack: what is there beside the list is then a finding."""
    note: Callable[[str], None] = lambda text: None
    """Told what could not be checked and is no damage."""
    derived: Callable[[str], None] = lambda name: None
    """Told the name of each document whose statistics were derived anew."""

    def under(self, name: str) -> Asked:
        """The same, for a folder inside."""
        return replace(
            self, note=lambda text: self.note(f"{name}: {text}"), derived=lambda held: self.derived(f"{name}/{held}")
        )


def verify_folder(folder: Path, asked: Asked) -> list[str]:
    """Sentences, one a finding; empty where nothing is wrong.

    Raises:
        StoreError: where it is no folder of results.
    """
    kind = results(folder)
    if kind in _MODELS and not (folder / DIGESTS).exists():
        remedy = "It was not finished, or is of an earlier release: a study of it knows it by its fingerprint."
        what = f"one with {DIGESTS}"
        raise StoreError(expected("folder to verify", what, f"{folder}, that of {kind} without it", remedy))
    try:
        sealed = read_seal(folder) if (folder / DIGESTS).exists() else None
        found = _unsealed(folder, asked) if sealed is None else list(_broken(folder, sealed, asked))
    except StoreError as error:
        sealed, found = None, [str(error)]
    inner = _inner(folder) if sealed is None else (*sealed.databases, *sealed.folders)
    for name in inner:
        where = folder / name
        if where.name == DATABASE:
            published = kind == "a study" and not (folder / _SWEPT).is_file()
            found += _study(where.parent, str(PurePosixPath(name).parent), asked, published=published)
        elif where.is_dir():
            found += [f"{name}: {what}" for what in verify_folder(where, asked.under(name))]
    if kind == "an audit" and not (folder / VERDICT).is_file():
        return [*found, f"{VERDICT} is missing: run `safebasin audit` again"]
    return found + (_recomputed(folder, kind, asked) if asked.recompute else [])


def _unsealed(folder: Path, asked: Asked) -> list[str]:
    if asked.packed:
        return [f"{DIGESTS} is missing"]
    asked.note(
        f"there is no {DIGESTS}: results of a release before it, or none yet; whether files or rows were replaced "
        "cannot be told (`safebasin report DIR` writes it for what is there now)"
    )
    return []


def _inner(folder: Path) -> Iterator[str]:
    """Databases and folders with a list of their own, of a folder that has none."""
    for name in walk(folder):
        path = PurePosixPath(name)
        if path.name == DATABASE:
            yield name
        elif path.name == DIGESTS:
            yield str(path.parent)


def _broken(folder: Path, sealed: Seal, asked: Asked) -> Iterator[str]:
    """What differs from the list of digests."""
    changed = list(_changed(folder, sealed))
    yield from changed[:SHOWN]
    if len(changed) > SHOWN:
        yield f"and {len(changed) - SHOWN} more files that are missing or not what they were"
    rows = [what for name, tables in sealed.databases.items() for what in _rows(folder / name, name, tables, asked)]
    yield from rows
    if changed or rows:
        asked.note("where the folder was continued or judged since its results, run that command to its end")
    known = {*sealed.files, *sealed.databases, *(f"{name}/{DIGESTS}" for name in sealed.folders)}
    for name in walk(folder):
        if name not in known:
            if asked.packed:
                yield f"{name} is not one of the files of the results"
            else:
                asked.note(f"{name} came after the results, and nothing is known of it")


def _changed(folder: Path, sealed: Seal) -> Iterator[str]:
    for name, one in sealed.files.items():
        path = folder / name
        if path.is_symlink() or not path.is_file():
            yield f"{name} is missing"
        elif sha256_of(path) != one:
            yield f"{name} is not what was written with the results"
    for name, root in sealed.folders.items():
        try:
            if read_seal(folder / name).root != root:
                yield f"{name}/{DIGESTS} is not what was written with the results"
        except StoreError as error:
            yield str(error)


def _rows(path: Path, name: str, tables: Mapping[str, Counted], asked: Asked) -> Iterator[str]:
    if path.is_symlink() or not path.is_file():
        yield f"{name} is missing"
        return
    try:
        there = row_digests(path.parent)
    except StoreError as error:
        yield f"{name}: {error}"
        return
    for table, one in tables.items():
        found = there.get(table, Counted(0, ""))
        if found != one:
            more = "" if found.n == one.n else f", {one.n} then and {found.n} now"
            yield f"{name}: rows of {table} are not those that the results were made of{more}"
    for table in there.keys() - tables.keys():
        asked.note(f"{name}: {table} came after the results")


def _study(folder: Path, name: str, asked: Asked, *, published: bool) -> list[str]:
    prefix = "" if name == "." else f"{name}: "
    note = asked.note if name == "." else asked.under(name).note
    try:
        with StudyStore.open(require(folder)) as store:
            late = store.meta(LATE)
        if late is not None:
            note(f"{late} rows are older than digests: theirs were made later, and vouch for them from then on")
        found = verify_study(folder, full=asked.full, note=note, published=published, model=asked.model)
    except StoreError as error:
        found = [str(error)]
    return [prefix + what for what in found]


def _recomputed(folder: Path, kind: str, asked: Asked) -> list[str]:
    """What of the statistics the rows do not say; what cannot be derived from rows is noted."""
    name, findings = _derivation(folder, kind, asked)
    if findings is None:
        asked.note(f"not derived anew: {name}")
        return []
    found = _said(findings)
    asked.derived(name)
    return found


def _derivation(folder: Path, kind: str, asked: Asked) -> tuple[str, Callable[[], list[str]] | None]:
    """The document of a folder and what derives it; where nothing does, what is left and why, and None."""

    def held(name: str) -> Mapping[str, object]:
        return _document(folder / name)

    if kind == "an audit":
        return VERDICT, lambda: verdict_findings(folder, held(VERDICT), asked.note)
    if kind == "an audit of a fleet":
        return FLEET, lambda: _fleet_findings(folder, held(FLEET))
    if kind == "a study" and (folder / _SWEPT).is_file():
        return _SWEPT, lambda: sweep_findings(folder, held(_SWEPT), asked.note)
    if kind == "a study" and (folder / LANDSCAPE).is_file():
        return LANDSCAPE, lambda: landscape_findings(folder, held(LANDSCAPE), asked.note)
    if kind == "a comparison" and (studies := _compared(folder)):
        return _ROWLESS[kind], lambda: comparison_findings(studies, held(_ROWLESS[kind]))
    if kind in _ROWLESS:
        return f"{_ROWLESS[kind]}, since its rows are not in this folder", None
    if kind in _MODELS:
        return f"{kind} has no statistics", None
    return f"what {kind} says; the rows of the studies behind it were held against their digests", None


def _compared(folder: Path) -> list[Path]:
    """The studies of a comparison in the order of its ranking, where `map` put all of them into its folder."""
    names = _document(folder / "comparison.json").get("models")
    inner = [f"models/{name}" for name in names] if isinstance(names, dict) else []
    found = [folder / name for name in inner if is_inside(name)]
    return found if len(found) == len(inner) and all((path / DATABASE).is_file() for path in found) else []


def _said(findings: Callable[[], list[str]]) -> list[str]:
    try:
        return findings()
    except UsageError as error:
        return [f"recompute: {error}"]


def _fleet_findings(folder: Path, document: Mapping[str, object]) -> list[str]:
    """Whether the fleet says of each model what its own verdict does."""
    found: list[str] = []
    models = document.get("models")
    for row in models if isinstance(models, list) else []:
        name = f"models/{row.get('name')}/{VERDICT}"
        if not is_inside(name):
            return [f"{FLEET} names a model whose folder would lie elsewhere"]
        path = folder / name
        if row.get("decision") is not None and _document(path).get("decision") != row["decision"]:
            found.append(f"{FLEET} says {row['decision']} of {row.get('name')}, its {VERDICT} does not")
    return found


def _document(path: Path) -> Mapping[str, object]:
    held = read_json(read_text(path, path.name, error=StoreError), path.name, error=StoreError)
    if not isinstance(held, dict):
        raise StoreError(expected(path.name, "a JSON object", json.dumps(held)[:80], "Restore the file."))
    return held
