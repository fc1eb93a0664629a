"""One chat request through the `openai` client, and everything that may come back instead of an answer, sorted.

Not here: patience. `endpoint` decides what is sent again; this says what happened to one request.
"""

from __future__ import annotations

import importlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, cast
from urllib.parse import urlsplit

from safebasin.errors import MissingExtra, UsageError, expected
from safebasin.judges.asking import RAW_LIMIT, Question
from safebasin.prompts.reasoning import split_answer

__all__ = ["Answered", "Failed", "Outcome", "Transport"]

DEFAULT_URL = "https://api.openai.com/v1"
KEY_VARIABLE, URL_VARIABLE = "OPENAI_API_KEY", "OPENAI_BASE_URL"
_TRANSIENT = (408, 409, 425, 429)
"""Client errors that pass; those of the server (5xx) do too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The text of an answer, perhaps empty, and the tokens that the endpoint counted."""

    text: str
    cut: bool = False
    """Whether it was ended by its limit of tokens, or never got beyond its thoughts."""
    tokens_in: int | None = None
    tokens_out: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """No answer."""

    why: str
    """With the raw reply, if there was one."""
    again: bool = False
    """Whether the same request may do better."""
    after_s: float | None = None
    """How long the server asks to wait."""
    hopeless: bool = False
    """Whether this, as the first thing that ever comes back, means that the address is wrong."""
    fatal: UsageError | None = None
    """What the user must mend; no request can do better."""


Outcome = Answered | Failed


class Transport:
    """Sends single requests to one model of one endpoint.

    Args:
        model: name of the model there.
        base_url: address, as of the `openai` client; None takes `OPENAI_BASE_URL`, else OpenAI's own.
        timeout_s: seconds for one request.

    Raises:
        UsageError: where the address is no HTTP address.
    """

    def __init__(self, model: str, *, base_url: str | None = None, timeout_s: float = 60.0) -> None:
        self._model = model
        self.address = _address(base_url)
        self._timeout_s = timeout_s
        self._client: Any = None
        self._openai: Any = None
        self._key = ""
        self._options: dict[str, object] = {"temperature": 0, "top_p": 1}
        self._limit = "max_tokens"

    @property
    def identity(self) -> str:
        """Address and model."""
        return f"{self.address} {self._model}"

    def send(self, question: Question) -> Outcome:
        """Send one request. Never raises because of what comes back."""
        try:
            client = self._connected()
        except UsageError as error:
            return Failed(why=str(error), fatal=error)
        openai = self._openai
        try:
            raw = client.chat.completions.with_raw_response.create(**self._request(question))
            return self._read(raw.http_response.text, str(raw.headers.get("content-type", "")))
        except openai.APITimeoutError:
            return Failed(why=f"timed out after {self._timeout_s:g} s", again=True)
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            return Failed(why=self._clean(f"not reached ({type(cause).__name__}: {cause})"), again=True, hopeless=True)
        except openai.APIStatusError as error:
            return self._refused(error, question)

    def _request(self, question: Question) -> dict[str, Any]:
        messages = [{"role": m.role, "content": m.content} for m in question.messages]
        return {"model": self._model, "messages": messages, self._limit: question.max_tokens, **self._options}

    def _connected(self) -> Any:
        if self._client is not None:
            return self._client
        try:  # by name: the extra need not be there, neither to import this nor to check its types
            self._openai = importlib.import_module("openai")
        except ImportError as error:
            raise MissingExtra("a judge that asks an endpoint", "openai", "judges") from error
        key = os.environ.get(KEY_VARIABLE, "").strip()
        if not key and self.address == DEFAULT_URL:
            remedy = "Export your key, or give base_url of a server that needs none."
            raise UsageError(expected(KEY_VARIABLE, "set in the environment", None, remedy))
        if not key.isascii() or not key.isprintable():
            raise UsageError(expected(KEY_VARIABLE, "plain ASCII in one line", "something else", "Export it again."))
        self._key = key
        self._client = self._openai.OpenAI(
            api_key=key or "none", base_url=self.address, timeout=self._timeout_s, max_retries=0
        )
        return self._client

    def _read(self, body: str, content_type: str) -> Outcome:
        shown = self._clean(repr(body[:RAW_LIMIT]))
        if "html" in content_type or body.lstrip()[:1] == "<":
            return Failed(why=f"HTML instead of JSON: {shown}", again=True, hopeless=True)
        try:
            reply: Any = json.loads(body)
        except ValueError:
            return Failed(why=f"no JSON: {shown}", again=True)
        try:
            choice = reply["choices"][0]
            message = choice["message"]
            text = message.get("content") or message.get("refusal") or ""
        except (KeyError, IndexError, TypeError, AttributeError):
            return Failed(why=f"malformed: {shown}", again=True)
        if not isinstance(text, str):
            return Failed(why=f"malformed: {shown}", again=True)
        counted: Any = reply.get("usage")
        usage = cast("Mapping[str, object]", counted if isinstance(counted, dict) else {})
        split = split_answer(text)
        unfinished = bool(split.thinking) and not split.response.strip()
        return Answered(
            text=self._clean(split.response),
            cut=choice.get("finish_reason") == "length" or unfinished,
            tokens_in=_count(usage.get("prompt_tokens")),
            tokens_out=_count(usage.get("completion_tokens")),
        )

    def _refused(self, error: Any, question: Question) -> Outcome:
        status, body = cast("int", error.status_code), cast("str", error.response.text)
        code = str(error.code or "")
        why = self._clean(f"HTTP {status}: {body[:RAW_LIMIT]!r}")
        if status == 401:
            return self._wrong(KEY_VARIABLE, "a key that this endpoint accepts", why, "Export the right key.")
        if status == 404 and body.lstrip()[:1] != "<":
            remedy = f"Check model={self._model!r} and base_url={self.address!r}."
            return self._wrong("model", f"one that {self.address} serves", why, remedy)
        if code == "insufficient_quota":
            return self._wrong("account", "one with quota left", why, "Add credit, or ask another endpoint.")
        if status in (400, 422) and self._adapt(body):
            return self.send(question)
        if status in (403, 404):
            return Failed(why=why, hopeless=True)
        after = _retry_after(error.response.headers)
        return Failed(why=why, again=status in _TRANSIENT or status >= 500, after_s=after)

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

    def _clean(self, text: str) -> str:
        """Without the key, should a server echo it."""
        return text.replace(self._key, "[key]") if self._key else text


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
    except ValueError:
        return None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None
