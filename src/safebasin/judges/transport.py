"""One chat request to an OpenAI-compatible endpoint, and everything that may come back, sorted.

Not here: patience (`endpoint` decides what is sent again), HTTP (`wire`), or what an answer says (`completion`).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from email.utils import parsedate_to_datetime
from functools import cached_property, partial
from typing import Any
from urllib.parse import urlsplit

from safebasin.errors import UsageError, expected
from safebasin.judges.asked_judge import RAW_LIMIT, Question
from safebasin.judges.completion import Failed, Outcome, error_code, is_transient, read_completion
from safebasin.judges.secret import KEY_VARIABLE, Secret
from safebasin.judges.wire import MOST_BYTES, Lost, Posted, Wire

__all__ = ["Transport"]

DEFAULT_URL = "https://api.openai.com/v1"
URL_VARIABLE = "OPENAI_BASE_URL"


class Transport:
    """Sends single requests to one model of one endpoint.

    Args:
        model: name of the model there.
        base_url: its address, up to `/chat/completions`; None takes `OPENAI_BASE_URL`, else OpenAI's own.
        timeout_s: seconds for the whole of one request.
        most_bytes: bytes of one reply, unpacked.

    Raises:
        UsageError: where the address is no HTTP address.
    """

    def __init__(
        self, model: str, *, base_url: str | None = None, timeout_s: float = 60.0, most_bytes: int = MOST_BYTES
    ) -> None:
        self._model = model
        self.address = _address(base_url)
        self._timeout_s = timeout_s
        self._most_bytes = most_bytes
        self._options: dict[str, object] = {"temperature": 0, "top_p": 1}
        self._limit = "max_tokens"

    @property
    def identity(self) -> str:
        """Address and model."""
        return f"{self.address} {self._model}"

    @contextmanager
    def session(self) -> Generator[Callable[[Question], Outcome]]:
        """Open a sender of one request at a time, for any thread; it never raises because of what comes back.

        When the session ends, what is still under way ends with it.
        """
        wire = Wire(timeout_s=self._timeout_s, most=self._most_bytes)
        try:
            yield partial(self._send, wire)
        finally:
            wire.close()

    def _send(self, wire: Wire, question: Question) -> Outcome:
        try:
            reply = self._post(wire, question)
        except UsageError as error:
            return Failed(why=str(error), fatal=error)
        if isinstance(reply, Lost):
            return Failed(why=reply.why[:RAW_LIMIT], again=reply.again, hopeless=reply.hopeless)
        if 200 <= reply.status < 300:
            return read_completion(reply.body, reply.headers.get("content-type", ""), self._secret.masked)
        if reply.status in (400, 422) and self._adapt(reply.body):
            return self._send(wire, question)
        return self._refused(reply)

    def _post(self, wire: Wire, question: Question) -> Posted | Lost:
        """The one door through which a server's words come in: whole, and without the key."""
        headers = {"content-type": "application/json", "user-agent": "safebasin"}
        masked = self._secret.masked
        if self._secret.key:
            headers["authorization"] = f"Bearer {self._secret.key}"
        content = json.dumps(self._request(question)).encode("ascii")
        reply = wire.post(f"{self.address}/chat/completions", headers, content)
        if isinstance(reply, Lost):
            return replace(reply, why=masked(reply.why))
        return replace(reply, body=masked(reply.body))

    def _request(self, question: Question) -> dict[str, Any]:
        messages = [{"role": m.role, "content": m.content} for m in question.messages]
        return {"model": self._model, "messages": messages, self._limit: question.max_tokens, **self._options}

    @cached_property
    def _secret(self) -> Secret:
        secret = Secret(os.environ.get(KEY_VARIABLE, ""))
        if not secret.key and self.address == DEFAULT_URL:
            remedy = "Export your key, or give base_url of a server that needs none."
            raise UsageError(expected(KEY_VARIABLE, "set in the environment", None, remedy))
        return secret

    def _refused(self, reply: Posted) -> Outcome:
        status, body = reply.status, reply.body
        why = f"HTTP {status}: {body[:RAW_LIMIT]!r}"
        if status == 401:
            return self._wrong(KEY_VARIABLE, "a key that this endpoint accepts", why, "Export the right key.")
        if status == 404 and body.lstrip()[:1] != "<":
            remedy = f"Check model={self._model!r} and base_url={self.address!r}."
            return self._wrong("model", f"one that {self.address} serves", why, remedy)
        if error_code(body) == "insufficient_quota":
            return self._wrong("account", "one with quota left", why, "Add credit, or ask another endpoint.")
        if status in (403, 404):
            return Failed(why=why, hopeless=True)
        return Failed(why=why, again=is_transient(status), after_s=_retry_after(reply.headers))

    def _adapt(self, body: str) -> bool:
        """Give up an option that this model does not take; False where none is to blame."""
        if "max_completion_tokens" in body and self._limit == "max_tokens":
            self._limit = "max_completion_tokens"
            return True
        named = next((name for name in self._options if name in body), None)
        if named is None:
            return False
        self._options = {name: value for name, value in self._options.items() if name != named}
        return True

    def _wrong(self, what: str, constraint: str, why: str, remedy: str) -> Failed:
        return Failed(why=why, fatal=UsageError(expected(what, constraint, why, remedy)))


def _address(base_url: str | None) -> str:
    address = (base_url or os.environ.get(URL_VARIABLE, "").strip() or DEFAULT_URL).rstrip("/")
    parts = urlsplit("")
    try:
        parts = urlsplit(address)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        remedy = "Write it like https://host/v1."
        raise UsageError(expected("base_url", "an http or https address", address, remedy))
    if parts.username is not None or parts.password is not None or parts.query:
        remedy = f"Put the key into {KEY_VARIABLE}: addresses are stored with the verdicts."
        raise UsageError(expected("base_url", "free of credentials and queries", parts.hostname, remedy))
    return address


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of `retry-after-ms` or `Retry-After` (seconds or a date), never negative; None where there is none."""
    milliseconds, text = headers.get("retry-after-ms", ""), headers.get("retry-after", "")
    for value, factor in ((milliseconds, 0.001), (text, 1.0)):
        try:
            seconds = float(value) * factor
        except ValueError:
            continue
        if seconds == seconds:  # no NaN
            return max(0.0, seconds)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError, TypeError, LookupError):  # a date that is none
        return None
