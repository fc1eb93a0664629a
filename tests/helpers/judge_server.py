"""A chat endpoint on loopback that misbehaves as it is told: each request takes the next action of its script."""

from __future__ import annotations

import json
import threading
import time
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Action = tuple[int, dict[str, str], bytes] | float | str | Callable[[BaseHTTPRequestHandler], None]
"""(status, headers, body); seconds to sleep before a good answer; `drop`, which closes the connection half-way; or what
writes to the connection itself."""

PATIENCE_S = 20.0
"""What never ends here ends after this, so that a test fails instead of hanging."""


def chat(text: str | None, *, finish_reason: str = "stop", **message: object) -> bytes:
    """The body of a good answer."""
    choice = {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": text, **message}}
    usage = {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107}
    return json.dumps({"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage}).encode()


def ok(text: str | None, *, finish_reason: str = "stop", **message: object) -> Action:
    return 200, {"content-type": "application/json"}, chat(text, finish_reason=finish_reason, **message)


def error(status: int, message: str = "no", *, code: str | None = None, **headers: str) -> Action:
    body = json.dumps({"error": {"message": message, "code": code, "type": "t"}}).encode()
    return status, {"content-type": "application/json", **headers}, body


def html(status: int = 200) -> Action:
    return status, {"content-type": "text/html"}, b"<!doctype html><html><body>Welcome to the guild</body></html>"


def packed(payload: bytes, encoding: str = "gzip", **headers: str) -> Action:
    """A body that says it is packed."""
    return 200, {"content-type": "application/json", "content-encoding": encoding, **headers}, payload


def bomb(megabytes: int) -> bytes:
    """A good answer behind that many megabytes of white space, packed to a thousandth."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(b" " * 2**20) for _ in range(megabytes)]
    return b"".join([*parts, packer.compress(chat("#thescore: 5")), packer.flush()])


def moved(status: int, location: str) -> Action:
    return status, {"location": location}, b""


def drip(before: bytes, piece: bytes, pause_s: float) -> Action:
    """What is sent at once, then a piece again and again."""

    def act(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.wfile.write(before)
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            handler.wfile.write(piece)
            time.sleep(pause_s)

    return act


def raw(payload: bytes) -> Action:
    """Bytes as they are, then the end of the connection."""

    def act(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.wfile.write(payload)

    return act


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
DRIPPING = {
    "body": drip(HEAD + b"content-length: 1000\r\n\r\n", b" ", 0.02),
    "chunks": drip(HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n", 0.02),
    "headers": drip(HEAD, b"x: y\r\n", 0.02),
    "status line": drip(b"HTTP/1.1 2", b"0", 0.02),
    "promises to continue": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.02),
}
"""Endpoints that are always about to answer."""
ENDLESS = {
    "body": drip(HEAD + b"\r\n", b" " * 2**16, 0.0),
    "chunks": drip(HEAD + b"transfer-encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 2**16 + b"\r\n", 0.0),
}
"""Endpoints that send as fast as they can, for ever."""


@dataclass
class Server:
    """What a running server was sent, and where it is."""

    url: str
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    most_at_once: int = 0

    def asked(self) -> list[str]:
        """The last message of each request."""
        return [body["messages"][-1]["content"] for body in self.bodies]


@contextmanager
def serving(answer: Callable[[dict[str, Any], int], Action]) -> Generator[Server]:
    """Serve until the block ends; `answer` gets the request's body and how often this very body came before."""
    lock, seen, now = threading.Lock(), dict[str, int](), [0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None: ...

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"])).decode()
            body = json.loads(raw)
            with lock:
                server.bodies.append(body)
                server.paths.append(self.path)
                server.keys.append(self.headers.get("authorization", ""))
                server.times.append(time.monotonic())
                now[0] += 1
                server.most_at_once = max(server.most_at_once, now[0])
                question = body["messages"][-1]["content"]
                nth = seen[question] = seen.get(question, -1) + 1
            try:
                self._act(answer(body, nth))
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
            finally:
                with lock:
                    now[0] -= 1

        def _act(self, action: Action) -> None:
            if callable(action):
                action(self)
                return
            if action == "drop":
                self.send_response(200)
                self.send_header("content-length", "1000")
                self.end_headers()
                self.wfile.write(b'{"choices": [')
                self.close_connection = True
                return
            if isinstance(action, float):
                time.sleep(action)
                action = ok("#thescore: 5")
            assert not isinstance(action, str)
            status, headers, payload = action
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    server = Server(url=f"http://127.0.0.1:{running.server_port}/v1")
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        running.shutdown()
        running.server_close()
        thread.join()
