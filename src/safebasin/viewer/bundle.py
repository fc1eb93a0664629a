"""A tree as static files: list, reports, figures and samples, redacted; they work from a disk and on any web server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote

from safebasin.errors import StoreError, UsageError, expected
from safebasin.untrusted import MIB, read_bytes
from safebasin.viewer.pages import address, home_of
from safebasin.viewer.shelf import Shelf
from safebasin.viewer.summary import Line
from safebasin.viewer.tree import Found, file_of, make_roots
from safebasin.writing import KINDS, write_bytes, write_text

__all__ = ["bundle"]

MARK = "safebasin-view.txt"
"""File by which a folder is known as a bundle, so that one may be written again."""
WORDS = "Pages that `safebasin view bundle` wrote. Open index.html.\n"


def bundle(
    folders: Sequence[Path], out: Path, *, with_text: bool = False, note: Callable[[str], None] = lambda text: None
) -> int:
    """Write a tree of folders as pages; returns how many folders have some.

    Args:
        folders: what is written.
        out: a new or empty folder, or an earlier bundle, whose pages are overwritten.
        with_text: also write texts that redaction withholds.
        note: told what cannot be shown, and why; it stands in the list.

    Raises:
        UsageError: where a folder is none, or `out` may not be written to.
    """
    roots = make_roots(folders)
    target = _target(out, [root.path for root in roots])
    shelf = Shelf(roots=roots, live=False, with_text=with_text)
    lines, done = shelf.lines(), 0
    _write(target / MARK, WORDS)
    for line in lines:
        if line.problem:
            note(f"{line.found.id}: {line.problem}")
            continue
        _folder(shelf, line, target, note)
        done += 1
    _write(target / "index.html", shelf.list_page(lines))
    studies = [line.found for line in lines if line.kind == "study" and not line.problem]
    _write(target / "beside.html", shelf.pairs_page(studies))
    return done


def _target(out: Path, roots: Sequence[Path]) -> Path:
    remedy = "Choose another folder with -o."
    target = out.expanduser().resolve()
    if any(kind.is_here(target) for kind in KINDS.values()) or any(_is_kept(target, up) for up in target.parents):
        raise UsageError(expected("-o", "outside of what safebasin keeps", str(out), remedy))
    if any(target == root or root in target.parents for root in roots):
        raise UsageError(expected("-o", "outside of what is bundled", str(out), remedy))
    if target.exists() and not target.is_dir():
        raise UsageError(expected("-o", "a folder", str(out), remedy))
    if target.is_dir() and any(target.iterdir()) and not (target / MARK).is_file():
        raise UsageError(expected("-o", "a new or empty folder, or an earlier bundle", str(out), remedy))
    return target


def _is_kept(target: Path, folder: Path) -> bool:
    """Tell whether a path in a folder is of what safebasin keeps there."""
    first = target.relative_to(folder).parts[0]
    return any(kind.names and kind.is_here(folder) and kind.owns(first) for kind in KINDS.values())


def _folder(shelf: Shelf, line: Line, target: Path, note: Callable[[str], None]) -> None:
    """Write the pages of one folder; one that cannot be made says why in its place."""
    found = line.found
    place = target / unquote(address(found.id))

    def page(name: str, make: Callable[[], str | bytes]) -> None:
        try:
            made = make()
        except StoreError as error:
            note(f"{found.id}: {error}")
            made = shelf.reason_page(str(error), home=home_of(found.id))
        except UsageError as error:
            made = shelf.reason_page(str(error), home=home_of(found.id))
        _write(place / name, made)

    page("index.html", lambda: shelf.folder_page(found))
    page("report.html", lambda: shelf.reports.page(found))
    if found.kind.name == "a study":
        if file_of(found, "models.html"):
            page("tuned.html", lambda: shelf.models_page(found))
            page("models.html", lambda: shelf.reports.file(found, "models.html"))
        page("samples.html", lambda: shelf.samples_page(found, {}))
    for name in _figures(found):
        path = file_of(found, name)
        if path is not None:
            _write(place / name, read_bytes(path, "figure", most=64 * MIB))


def _figures(found: Found) -> list[str]:
    folder = found.path / "figures"
    return sorted(f"figures/{path.name}" for path in folder.iterdir()) if folder.is_dir() else []


def _write(path: Path, what: str | bytes) -> None:
    """Write a page or a figure whole.

    Raises:
        StoreError: where the disk is full or not writable.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(expected("-o", "a folder that can be written to", str(path), f"({error})")) from error
    if isinstance(what, bytes):
        write_bytes(path, what)
    else:
        write_text(path, what)
