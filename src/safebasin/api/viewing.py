"""A tree of stored folders, looked at: served on loopback, or written as pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from safebasin.api.requests import checks_keywords
from safebasin.items import items

__all__ = ["bundle_view", "view"]


@checks_keywords
def view(
    folders: str | Path | Sequence[str | Path],
    *,
    port: int = 0,
    open_browser: bool = True,
    with_text: bool = False,
    note: Callable[[str], None] = print,
) -> None:
    """Show studies, audits, comparisons, claims and trials of a tree of folders, on loopback, until interrupted.

    Args:
        folders: one or several; what is below them is found. Nothing in them is written to.
        port: a free one if 0.
        open_browser: whether to open the list in the user's browser.
        with_text: also show texts that redaction withholds.
        note: told the address, which holds a token.

    Raises:
        UsageError: where a folder is none, or the port is taken.
        MissingExtra: where the server is not installed.
    """
    from safebasin.viewer.serve import serve

    paths = [Path(folder) for folder in items(folders)]
    serve(paths, port=port, open_browser=open_browser, with_text=with_text, note=note)


@checks_keywords
def bundle_view(
    folders: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    with_text: bool = False,
    note: Callable[[str], None] = lambda text: None,
) -> int:
    """Write what `view` shows as static pages; returns how many folders have some.

    Args:
        folders: as of `view`.
        out: a new or empty folder, or an earlier bundle.
        with_text: also write texts that redaction withholds.
        note: told what cannot be shown, and why.

    Raises:
        UsageError: where a folder is none, or `out` may not be written to.
    """
    from safebasin.viewer.bundle import bundle

    return bundle([Path(folder) for folder in items(folders)], Path(out), with_text=with_text, note=note)
