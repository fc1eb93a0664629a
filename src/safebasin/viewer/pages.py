"""The viewer's own pages, from plain values: in the style of the reports, with one script, which asks for nothing else.

Every address in them is relative; `home` is the way up to the list. What others wrote is escaped by the template, and
what a browser would obey is made visible, as in a report.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from urllib.parse import quote

from markupsafe import Markup

from safebasin.report.colors import OUTCOME_COLORS
from safebasin.report.page import render_still

__all__ = ["address", "home_of", "policy", "render"]


def address(id: str) -> str:
    """The address of a folder below the list, with its slash."""
    return f"e/{'/'.join(quote(part, safe='') for part in id.split('/'))}/"


def home_of(id: str) -> str:
    """The way from a folder's pages up to the list."""
    return "../" * (2 + id.count("/"))


@cache
def _resource(name: str) -> str:
    folder = resources.files("safebasin.report").joinpath("templates", "viewer")
    return folder.joinpath(name).read_text(encoding="utf-8")


@cache
def policy(*, live: bool) -> str:
    """The content security policy of the viewer's own pages: one script by its hash, and nothing of another host.

    Args:
        live: served; else files, which have no origin of their own.
    """
    digest = base64.b64encode(hashlib.sha256(_resource("viewer.js").encode()).digest()).decode()
    own = "'self'" if live else "'self' file:"
    asks = "; connect-src 'self'" if live else ""
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src {own} data:; "
        f"frame-src {own}{asks}; form-action {own}; base-uri 'none'"
    )


@cache
def _style() -> str:
    colors = "".join(f".o-{name} {{ --badge: {color}; }}\n" for name, color in OUTCOME_COLORS.items())
    return _resource("shell.css") + colors


def render(template: str, *, title: str, home: str, live: bool, body: str = "", **values: object) -> str:
    """A page as text.

    Args:
        template: name of a file of the folder `viewer` of templates, without its ending.
        title: of the page.
        home: the way up to the list.
        live: served; else a file.
        body: class of the body.
        values: what the template shows; escaped there.
    """
    return render_still(
        f"viewer/{template}.html.j2",
        title=title,
        home=home,
        live=live,
        body=body,
        policy=policy(live=live),
        shell_style=Markup(_style()),  # ours, as is the script
        script=Markup(_resource("viewer.js")),
        **values,
    )
