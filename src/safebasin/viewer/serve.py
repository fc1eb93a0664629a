"""The port, the server and the browser: a viewer on loopback until it is interrupted."""

from __future__ import annotations

import contextlib
import secrets
import socket
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from safebasin.errors import MissingExtra, UsageError, expected
from safebasin.viewer.app import make_app
from safebasin.viewer.shelf import Shelf
from safebasin.viewer.tree import make_roots

if TYPE_CHECKING:
    import uvicorn

__all__ = ["serve"]

HOST = "127.0.0.1"


def serve(
    folders: Sequence[Path],
    *,
    port: int = 0,
    open_browser: bool = True,
    with_text: bool = False,
    note: Callable[[str], None] = lambda text: None,
) -> None:
    """Show a tree of folders on loopback until interrupted.

    Args:
        folders: what is shown.
        port: a free one if 0.
        open_browser: whether to open the list in the user's browser.
        with_text: also show texts that redaction withholds.
        note: told the address.

    Raises:
        UsageError: where a folder is none, or the port is taken.
        MissingExtra: where the server is not installed.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtra("the viewer", "uvicorn", "view") from error
    shelf = Shelf(roots=make_roots(folders), with_text=with_text)
    with _listening(port) as listener:
        found, token = int(listener.getsockname()[1]), secrets.token_urlsafe(24)
        app = make_app(shelf, token=token, port=found)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, lifespan="off", ws="none",
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        address = f"http://{HOST}:{found}/{token}/"
        note(address)
        if open_browser:
            with contextlib.suppress(webbrowser.Error):
                webbrowser.open(address)
        _until_interrupted(uvicorn.Server(config), listener)


def _until_interrupted(server: uvicorn.Server, listener: socket.socket) -> None:
    """Run a server until Ctrl-C, which is how a viewer ends: in order, and not as an interruption."""

    def stop(sig: int, frame: FrameType | None) -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    server.handle_exit = stop  # the server's own raises the signal again when it is done
    server.run(sockets=[listener])


def _listening(port: int) -> socket.socket:
    """A socket on loopback.

    Raises:
        UsageError: where the port is taken, or not to be had.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(64)
    except (OSError, OverflowError) as error:
        listener.close()
        remedy = f"({error}) Choose another one, or leave --port out for a free one."
        raise UsageError(expected("--port", "a free port", port, remedy)) from error
    return listener
