"""A line about each folder of a tree: what it is, what was found, how far it is, or why it cannot be opened.

Documents are files that others may have written: whatever is not as this release writes it becomes a reason in words.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safebasin.errors import SafebasinError, UsageError
from safebasin.records import Estimate
from safebasin.report.explanations import value_words
from safebasin.report.fleet import counts
from safebasin.report.layout import model_name
from safebasin.report.sweep import sweep_words
from safebasin.store import folder as folders
from safebasin.store.read_only import open_read_only
from safebasin.untrusted import read_json, read_text
from safebasin.viewer.progress import State, heartbeat_words, state_of
from safebasin.viewer.stamps import Stamp, files_stamp, stamp_of
from safebasin.viewer.tree import PAGES, Found, file_of, is_inside

__all__ = ["Kept", "Line", "document_of", "lines_of"]

KINDS = {
    "a study": "study",
    "an audit": "audit",
    "an audit of a fleet": "fleet",
    "a comparison": "comparison",
    "located layers": "layers",
    "forced beginnings": "forced beginnings",
    "a screen": "screen",
    "a mechanism": "mechanism",
    "a comparison of defenses": "defenses",
    "claims": "claims",
    "a sweep": "sweep",
}
"""Kind of folder → the word for it in a list."""
MODELS, SWEPT = "models.json", "models.html"
"""What `safebasin sweep` writes into its study."""
_PREFERRED = ("outcomes", "asr", "overlay")
"""Figures that stand in the list, those first that say most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A folder in the list."""

    found: Found
    kind: str
    """One word."""
    model: str
    """What it is about; empty where that is not known."""
    said: str
    """What was found, in a few words."""
    state: State
    problem: str
    """Why it cannot be opened, or empty."""
    changed: str
    """When its newest file was written, in UTC, to the minute."""
    picture: str
    """Path of a small figure in the folder, or empty."""
    inside: bool
    """Whether it is a part of another folder of the list."""

    @property
    def tile(self) -> str:
        """In place of a picture, the decision of an audit; else nothing."""
        return self.said if self.said in ("pass", "fail", "undecided") else ""

    @property
    def searched(self) -> str:
        """Everything that a search looks at."""
        return " ".join((self.found.id, self.kind, self.model, self.said, self.state, self.problem)).lower()


@dataclass(frozen=True, slots=True)
class _Said:
    """What the files of a folder say of it."""

    stamp: Stamp
    model: str
    said: str
    problem: str


Kept = MutableMapping[Path, _Said]
"""What was read before, by folder."""


def lines_of(found: Sequence[Found], kept: Kept | None = None) -> list[Line]:
    """A line for each folder, in the order given.

    Args:
        found: the folders.
        kept: what was read before; renewed here, for those whose files have changed.
    """
    ids = {one.id for one in found}
    known: Kept = {} if kept is None else kept
    lines = [_line(one, known, inside=is_inside(one.id, ids)) for one in found]
    running = [line.found for line in lines if line.state == "running"]
    return [_with_parts(line, running) for line in lines]


def _with_parts(line: Line, running: Sequence[Found]) -> Line:
    """A line of what is made of studies, while one of them still runs."""
    parts = [one for one in running if line.found.path in one.path.parents]
    if line.problem or line.state != "unknown" or not parts:
        return line
    now = " · ".join(
        f"{one.path.relative_to(line.found.path)}: {heartbeat_words(one.path) or 'running'}" for one in parts
    )
    return replace(line, state="running", said=f"{line.said} · {now}" if line.said else now)


def _line(found: Found, kept: Kept, *, inside: bool) -> Line:
    said = kept.get(found.path)
    stamp = (
        *stamp_of(found.path),
        *files_stamp(found.path / name for name in (*found.kind.marks, folders.LANDSCAPE, MODELS)),
    )
    if said is None or said.stamp != stamp:
        said = kept[found.path] = _read(found, stamp)
    problem = found.problem or said.problem
    return Line(
        found=found,
        kind="sweep" if _is_sweep(found) else KINDS.get(found.kind.name, found.kind.name),
        model=said.model,
        said=said.said,
        state="unknown" if problem or found.kind.name != "a study" else _state(found),
        problem=problem,
        changed=_changed(found.path),
        picture="" if problem else _picture(found),
        inside=inside,
    )


def _state(found: Found) -> State:
    state = state_of(found.path)
    if state != "unknown":
        return state
    return "complete" if any(file_of(found, page) for page in PAGES) else "incomplete"


def _is_sweep(found: Found) -> bool:
    """Whether a study is one of tuned models: its page is of them, and it has no landscape."""
    return found.kind.name == "a study" and not file_of(found, folders.REPORT) and bool(file_of(found, SWEPT))


def _read(found: Found, stamp: Stamp) -> _Said:
    if found.problem:
        return _Said(stamp, "", "", found.problem)
    try:
        model, said = _study(found.path) if found.kind.name == "a study" else _document(found)
    except SafebasinError as error:
        return _Said(stamp, "", "", str(error).replace(str(found.path), found.name))
    return _Said(stamp, model, said, "")


def _study(folder: Path) -> tuple[str, str]:
    """The model of a study, and its first radius where a landscape is written, or what its tuned models are told.

    Raises:
        StoreError: where the database cannot be opened, or is of a newer release.
    """
    with open_read_only(folder) as store:
        text = store.meta("plan")
    model = model_name(_of(json.loads(text) if text else {}, ("study", "model")))
    for name, tell in ((folders.LANDSCAPE, _landscape_said), (MODELS, _sweep_said)):
        path = folder / name
        if not path.is_symlink() and path.is_file():
            return model, _parsed(name, tell, read_json(read_text(path, name), name, lenient=True))
    return model, ""


def _of(value: Any, keys: Sequence[str]) -> str:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else ""


def _sweep_said(document: Mapping[str, Any]) -> str:
    return " ".join(sweep_words(document))


def _landscape_said(document: Mapping[str, Any]) -> str:
    for name in ("radius", "margin"):
        for panel in document["panels"]:
            found = panel["summary"].get(name)
            if found and isinstance(found["value"], (int, float)):
                return f"{name} {value_words(name, Estimate(**found))} ({panel['prompts']})"
    return ""


def document_of(found: Found) -> Mapping[str, Any] | list[Any]:
    """The document of a folder that is no study.

    Raises:
        UsageError: where it is not there yet, or does not parse.
    """
    for mark in found.kind.marks:
        path = found.path / mark
        if path.is_file() and not path.is_symlink():
            return read_json(read_text(path, mark), mark, lenient=True)
    raise UsageError(f"{found.kind.marks[0]} must be there; got none. It is not written yet.")


def _document(found: Found) -> tuple[str, str]:
    """What the document of a folder is about, and what it says.

    Raises:
        UsageError: where it does not parse, or is not what a release like this one writes.
    """
    if found.kind.name == "an audit" and not (found.path / "verdict.json").exists():
        return "", "not decided yet"
    document = document_of(found)
    tell = _TOLD.get(found.kind.name)
    about = _of(document, ("base",)) or _of(document, ("base", "model")) or _of(document, ("model",))
    tuned = _of(document, ("tuned", "model"))
    about = f"{model_name(about)} → {model_name(tuned)}" if tuned else model_name(about)
    return about, _parsed(found.kind.marks[0], tell, document) if tell else ""


def _parsed(name: str, tell: Callable[[Any], str], document: object) -> str:
    try:
        return tell(document)
    except (ValueError, TypeError, KeyError, AttributeError, LookupError) as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(f"{name} must be what this release writes; got {what}. Another release wrote it?") from error


def _claims_said(document: Mapping[str, Any]) -> str:
    answers = Counter(str(claim["answer"]) for claim in document["claims"])
    return f"{document['paper']}: " + ", ".join(f"{n} {answer}" for answer, n in answers.most_common())


def _defenses_said(document: Mapping[str, Any]) -> str:
    return f"{document['attack']} under {len(document['arms']) - 1} defenses"


def _comparison_said(document: Mapping[str, Any]) -> str:
    return " · ".join(str(name) for name in document["ranking"]["order"])


_TOLD: Mapping[str, Callable[[Any], str]] = {
    "an audit": lambda document: str(document["decision"]),
    "an audit of a fleet": counts,
    "claims": _claims_said,
    "a comparison of defenses": _defenses_said,
    "a comparison": _comparison_said,
    "a sweep": lambda document: f"{len(document)} runs",
}
"""Kind of folder → what its document says."""


def _changed(folder: Path) -> str:
    """When the newest file directly in a folder was written."""
    try:
        newest = max((p.lstat().st_mtime for p in folder.iterdir() if not p.name.startswith(".")), default=0.0)
        return datetime.fromtimestamp(newest, UTC).strftime("%Y-%m-%d %H:%M")
    except (OSError, ValueError, OverflowError):
        return ""


def _picture(found: Found) -> str:
    folder = found.path / folders.FIGURES
    try:
        names = sorted(p.name for p in folder.iterdir() if p.suffix == ".png")
    except OSError:
        return ""
    names.sort(key=lambda name: ("benign" in name, *(not name.startswith(start) for start in _PREFERRED)))
    return next((f"figures/{name}" for name in names if file_of(found, f"figures/{name}")), "")
