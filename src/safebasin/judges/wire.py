"""One POST over HTTP, bounded: a deadline for the whole of it, a cap on what its reply unpacks to, no other host.

A server that drips, that never ends, or that packs a gigabyte into a kilobyte costs its deadline or the cap, no more.
Requests run on one event loop, in a thread of its own, because only what waits there can be ended from outside at
any moment. Not here: what is asked, and what a reply means (`transport`, `completion`).
"""

from __future__ import annotations

import asyncio
import importlib
import threading
import zlib
from collections.abc import Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from safebasin.errors import MissingExtra
from safebasin.untrusted import MIB

__all__ = ["MOST_BYTES", "Lost", "Posted", "Unpacking", "UnreadError", "Wire"]

MOST_BYTES = 4 * MIB
"""Bytes of a reply, unpacked: a thousand times what a judge writes."""
_HOPS = 3
_MOVED = (301, 302, 303, 307, 308)
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """A whole reply."""

    status: int
    headers: Mapping[str, str]
    """By name in lower case."""
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """No whole reply."""

    why: str
    again: bool = False
    """Whether the same request may do better."""
    hopeless: bool = False
    """Whether this, as the first thing that ever comes back, means that the address is wrong."""


class UnreadError(Exception):
    """A reply that is not read to its end, and why."""


class Unpacking:
    """Collects a body piece by piece, unpacked, and never holds more than its cap.

    Args:
        encoding: the header `content-encoding`.
        most: bytes of the body, packed and unpacked.

    Raises:
        UnreadError: where the encoding is neither none nor one of zlib's.
    """

    def __init__(self, encoding: str, most: int) -> None:
        name = encoding.strip().lower()
        if name not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise UnreadError(f"packed as {name[:40]!r}, which was not asked for")
        self._zlib = zlib.decompressobj(wbits=47) if name not in ("", "identity") else None
        self._most = most
        self._packed = 0
        self._body = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Take a piece; raises `UnreadError` where the whole grows past the cap or does not unpack."""
        self._packed += len(chunk)
        if self._packed > self._most:
            raise self._too_large()
        while chunk:
            piece = chunk if self._zlib is None else self._unpack(chunk)
            self._body += piece
            if len(self._body) > self._most:
                raise self._too_large()
            chunk = b"" if self._zlib is None else self._zlib.unconsumed_tail

    def whole(self) -> str:
        """The text; raises `UnreadError` where the packed body ends too early."""
        if self._zlib is not None and self._packed and not self._zlib.eof:
            raise UnreadError("a packed body that ends too early")
        return self._body.decode("utf-8-sig", "replace")

    def _unpack(self, chunk: bytes) -> bytes:
        assert self._zlib is not None
        try:
            piece = self._zlib.decompress(chunk, self._most + 1 - len(self._body))
        except (zlib.error, EOFError) as error:
            raise UnreadError(f"a body that does not unpack ({error})") from error
        if self._zlib.unused_data:
            raise UnreadError("a packed body with more behind its end")
        return piece

    def _too_large(self) -> UnreadError:
        return UnreadError(f"a reply of more than {self._most / MIB:g} MB")


class Wire:
    """Requests to one server, many at a time, until it is closed; what is under way then is ended.

    Args:
        timeout_s: seconds for a request, from the first connection to the last byte, redirects included.
        most: bytes of a reply, unpacked.
    """

    def __init__(self, *, timeout_s: float, most: int = MOST_BYTES) -> None:
        self._timeout_s = timeout_s
        self._most = most
        self._lock = threading.RLock()  # a generator that is thrown away may close this amid a call
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._client: Any = None
        self._closed = False

    def post(self, url: str, headers: Mapping[str, str], content: bytes) -> Posted | Lost:
        """Send one request and wait. Nothing that a server does makes this raise.

        Raises:
            MissingExtra: without the package that speaks HTTP.
        """
        with self._lock:
            if self._closed:
                return Lost(why="the work was stopped")
            loop = self._running()
            future = asyncio.run_coroutine_threadsafe(self._bounded(url, headers, content), loop)
        try:
            return future.result()
        except CancelledError:
            return Lost(why="the work was stopped")

    def close(self) -> None:
        """End what is under way, and let go of every connection. Nothing can be sent any more."""
        with self._lock:
            self._closed = True
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        if threading.current_thread() is not thread:
            thread.join()

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is not None:
            return self._loop
        try:  # by name: the extra need not be there, neither to import this nor to check its types
            httpx: Any = importlib.import_module("httpx2")
        except ImportError as error:
            raise MissingExtra("a judge that asks an endpoint", "httpx2", "judges") from error
        limits = httpx.Limits(max_connections=None)
        self._failures = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError)
        """What sending, and reading what a stranger sent, may raise: anything else is a fault of ours, and shows."""
        self._client = httpx.AsyncClient(timeout=None, limits=limits, follow_redirects=False)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._work, args=(self._loop,), name="judge-wire", daemon=True)
        self._thread.start()
        return self._loop

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_forever()
        loop.run_until_complete(self._drained())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    async def _drained(self) -> None:
        under_way = asyncio.all_tasks() - {asyncio.current_task()}
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await self._client.aclose()

    async def _bounded(self, url: str, headers: Mapping[str, str], content: bytes) -> Posted | Lost:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._followed(url, headers, content)
        except TimeoutError:
            return Lost(why=f"timed out after {self._timeout_s:g} s", again=True)
        except UnreadError as error:
            return Lost(why=str(error))
        except self._failures as error:
            return Lost(why=f"not reached ({type(error).__name__}: {error})", again=True, hopeless=True)

    async def _followed(self, url: str, headers: Mapping[str, str], content: bytes) -> Posted | Lost:
        sent = {**headers, "accept": "application/json", "accept-encoding": "identity"}
        for _ in range(_HOPS + 1):
            async with self._client.stream("POST", url, headers=sent, content=content) as response:
                status, location = int(response.status_code), str(response.headers.get("location", ""))
                if status not in _MOVED or not location:
                    return await self._whole(response)
            target = urljoin(url, location)
            if status == 303 or not _is_own(url, target):
                return _elsewhere(status, target)
            url = target
        return Lost(why=f"redirected more than {_HOPS} times, at last to {url}", hopeless=True)

    async def _whole(self, response: Any) -> Posted:
        body = Unpacking(str(response.headers.get("content-encoding", "")), self._most)
        async for chunk in response.aiter_raw():
            body.feed(chunk)
        return Posted(status=int(response.status_code), headers=dict(response.headers), body=body.whole())


def _is_own(url: str, target: str) -> bool:
    """Whether a redirect stays with the server that was named: same host and port, or from http to https."""
    here, there = urlsplit(url), urlsplit(target)
    if there.scheme not in _PORTS or there.username is not None or there.hostname != here.hostname:
        return False
    ports = [part.port or _PORTS[part.scheme] for part in (here, there)]
    upgraded = (here.scheme, there.scheme, *ports) == ("http", "https", 80, 443)
    return upgraded or (here.scheme == there.scheme and ports[0] == ports[1])


def _elsewhere(status: int, target: str) -> Lost:
    base = target.partition("?")[0].removesuffix("/chat/completions")
    remedy = f"prompts and responses go to no other address than yours: set base_url={base} if you trust it"
    return Lost(why=f"HTTP {status}, a redirect ({remedy})", hopeless=True)
