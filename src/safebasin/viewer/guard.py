"""Who may ask a viewer: the token in the address, the host, the methods; and the headers that every answer has.

The server listens on loopback only, yet any page of any browser on this machine can send requests there. The token
keeps them out, and the check of the host keeps out a name that an attacker lets point to 127.0.0.1 (DNS rebinding).
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = ["Guard", "report_policy"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)


def report_policy() -> str:
    """The content security policy of a report, beside the one in it: an origin of its own, and no network.

    A report may come with a folder that somebody else made. Whatever runs in it can read nothing but itself.
    """
    return (
        "sandbox allow-scripts allow-downloads allow-popups; default-src 'none'; script-src 'unsafe-inline'; "
        "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )


class Guard:
    """Lets through what has the token, names this host, and only reads; answers all else itself."""

    def __init__(self, app: App, *, token: str, port: int) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = {f"{name}:{port}".encode() for name in ("127.0.0.1", "localhost")}
        if port == 80:
            self._hosts |= {b"127.0.0.1", b"localhost"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI calls an application."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        given = str(scope["path"]).encode("utf-8", "surrogateescape").split(b"/", 2)
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            await _refuse(send, 421, "This address is not of this host.")
        elif scope["method"] not in ("GET", "HEAD"):
            await _refuse(send, 405, "Nothing here can be changed.")
        elif len(given) < 3 or not hmac.compare_digest(given[1], self._token):
            await _refuse(send, 403, "Open the address that safebasin view printed: it holds a token.")
        else:
            inner = {**scope, "path": "/" + given[2].decode("utf-8", "surrogateescape")}
            await self._app(inner, receive, _with_headers(send))


def _with_headers(send: Send) -> Send:
    async def sent(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *HEADERS]}
        await send(message)

    return sent


async def _refuse(send: Send, status: int, words: str) -> None:
    body = f"{words}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
        *HEADERS,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
