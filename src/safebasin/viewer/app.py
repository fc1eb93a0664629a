"""The addresses of a viewer as an ASGI application: each asks the shelf. What cannot be shown becomes a reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from safebasin.errors import MissingExtra, UsageError
from safebasin.untrusted import MIB, read_bytes
from safebasin.viewer.guard import App, Guard, report_policy
from safebasin.viewer.pages import policy
from safebasin.viewer.progress import as_json
from safebasin.viewer.shelf import Shelf
from safebasin.viewer.tree import PAGES, Found, file_of, find

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["make_app"]

TYPES = {".png": "image/png", ".svg": "image/svg+xml"}


def make_app(shelf: Shelf, *, token: str, port: int) -> App:
    """A viewer as an ASGI application behind its guard.

    Args:
        shelf: what is shown.
        token: first part of every address.
        port: that it is served at, which the header `Host` must name.

    Raises:
        MissingExtra: where starlette is not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.routing import Route
    except ImportError as error:
        raise MissingExtra("the viewer", "starlette", "view") from error
    routes = [
        Route("/", _answering(shelf, _list), methods=["GET"]),
        Route("/index.html", _answering(shelf, _list), methods=["GET"]),
        Route("/beside.html", _answering(shelf, _beside), methods=["GET"]),
        Route("/e/{path:path}", _answering(shelf, _folder), methods=["GET"]),
    ]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False  # a redirect would lose the token
    return Guard(app, token=token, port=port)


def _answering(shelf: Shelf, answer: Callable[[Shelf, Request], Response]) -> Callable[[Request], Response]:
    """An endpoint, run in a thread, that says in a page what a user can mend."""

    def endpoint(request: Request) -> Response:
        try:
            return answer(shelf, request)
        except UsageError as error:
            depth = request.url.path.count("/") - 2  # beside the token
            return _page(shelf.reason_page(str(error), home="../" * depth), status=404)

    endpoint.__annotations__ = {}  # starlette reads none
    return endpoint


def _page(text: str, status: int = 200) -> Response:
    from starlette.responses import HTMLResponse

    headers = {"content-security-policy": f"{policy(live=True)}; frame-ancestors 'self'"}
    return HTMLResponse(text.encode("utf-8", "backslashreplace"), status, headers)


def _list(shelf: Shelf, request: Request) -> Response:
    return _page(shelf.list_page(shelf.lines()))


def _beside(shelf: Shelf, request: Request) -> Response:
    return _page(shelf.beside_page([_found(shelf, request.query_params.get(name, "")) for name in ("a", "b")]))


def _found(shelf: Shelf, id: str) -> Found:
    found = find(shelf.roots, id)
    if found is None:
        raise UsageError("There is no study, audit or comparison under this name: it was moved, or never was.")
    if found.problem:
        raise UsageError(found.problem)
    return found


def _folder(shelf: Shelf, request: Request) -> Response:
    """A page or a file of a folder: all that follows `e/`, its last part the page."""
    from starlette.responses import Response

    id, _, name = str(request.path_params["path"]).rpartition("/")
    folder, _, part = id.rpartition("/")
    if part == "figures":
        return _figure(_found(shelf, folder), name)
    found = _found(shelf, id)
    if name in ("", "index.html"):
        return _page(shelf.folder_page(found))
    if name == "samples.html":
        return _page(shelf.samples_page(found, dict(request.query_params)))
    if name == "tuned.html":
        return _page(shelf.models_page(found))
    if name in PAGES:
        data = shelf.reports.page(found) if name == "report.html" else shelf.reports.file(found, name)
        headers = {"content-security-policy": report_policy()}
        return Response(data, media_type="text/html; charset=utf-8", headers=headers)
    if name == "status.json":
        return Response(as_json(shelf.progress(found)), media_type="application/json")
    raise UsageError(f"There is no page {name!r} of this folder.")


def _figure(found: Found, name: str) -> Response:
    from starlette.responses import Response

    path = file_of(found, f"figures/{name}")
    if path is None:
        raise UsageError("There is no such figure.")
    data = read_bytes(path, "figure", most=64 * MIB)
    headers = {"content-security-policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'"}
    return Response(data, media_type=TYPES[path.suffix], headers=headers)
