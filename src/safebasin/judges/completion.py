"""What the body of a chat completion says: an answer, or why it is none. Pure; total over text.

Not here: how the body came (`wire`), nor what is sent again (`endpoint`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from safebasin.errors import UsageError
from safebasin.judges.asked_judge import RAW_LIMIT
from safebasin.prompts.reasoning import split_answer
from safebasin.untrusted import read_json

__all__ = ["Answered", "Failed", "Outcome", "error_code", "is_transient", "read_completion"]

_TRANSIENT = (408, 409, 425, 429)
"""Client errors that pass; those of the server (5xx) do too."""
_THOUGHTS = ("thinking", "redacted_thinking", "reasoning")
_CUT = ("length", "max_tokens", "content_filter")
_MOST_TOKENS = 10**9
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The text of an answer, perhaps empty, and the tokens that the endpoint counted."""

    text: str
    cut: bool = False
    """Whether it was ended by its limit of tokens or by a filter, or never got beyond its thoughts."""
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


def is_transient(status: int) -> bool:
    """Tell whether an HTTP status may be another one next time."""
    return status in _TRANSIENT or 500 <= status < 600


def read_completion(body: str, content_type: str, masked: Callable[[str], str]) -> Outcome:
    """Read a body of status 2xx. What is no JSON may be a proxy's page or half a reply: it may come better next time.

    Sound JSON of another shape will not: greedy decoding says the same again.

    Args:
        body: the text, masked.
        content_type: the header.
        masked: takes the key out of a text; escapes in JSON may have hidden it.
    """
    shown = repr(body[:RAW_LIMIT])
    if "html" in content_type or body.lstrip()[:1] == "<":
        return Failed(why=f"HTML instead of JSON: {shown}", again=True, hopeless=True)
    try:
        reply: Any = read_json(body, "the reply", lenient=True)
    except UsageError as error:
        deep = isinstance(error.__cause__, RecursionError)
        return Failed(why=f"{'JSON nested too deeply' if deep else 'no JSON'}: {shown}", again=not deep)
    code = _code(reply)
    if code is not None:
        again = code.isdecimal() and len(code) == 3 and is_transient(int(code))
        return Failed(why=f"an error instead of an answer: {shown}", again=again)
    try:
        choice = reply["choices"][0]
        message = choice["message"]
        content = message.get("content") or message.get("refusal") or ""
        finish = choice.get("finish_reason")
    except (LookupError, TypeError, AttributeError):
        return Failed(why=f"malformed: {shown}")
    text, other = _text(content)
    if other:
        return Failed(why=f"content that is no text ({other}): {shown}")
    counted: Any = reply.get("usage")
    usage = cast("Mapping[str, object]", counted if isinstance(counted, dict) else {})
    split = split_answer(text)
    return Answered(
        text=masked(_SURROGATE.sub("\ufffd", split.response)),
        cut=finish in _CUT or (bool(split.thinking) and not split.response.strip()),
        tokens_in=_count(usage.get("prompt_tokens")),
        tokens_out=_count(usage.get("completion_tokens")),
    )


def _text(content: object) -> tuple[str, str]:
    """The text of a message's content, and what in it is none. Parts of thoughts are left out, as thoughts in text."""
    if isinstance(content, str):
        return content, ""
    if not isinstance(content, list):
        return "", f"a {type(content).__name__}"
    texts: list[str] = []
    for part in cast("list[object]", content):
        fields = cast("Mapping[str, object]", part if isinstance(part, dict) else {})
        kind = fields.get("type", "text" if "text" in fields else None)
        text = fields.get("refusal" if kind == "refusal" else "text")
        if kind in ("text", "output_text", "refusal") and isinstance(text, str):
            texts.append(text)
        elif kind not in _THOUGHTS:
            return "", f"a part of type {kind[:40]!r}" if isinstance(kind, str) else "a part without a type"
    return "".join(texts), ""


def error_code(body: str) -> str:
    """The code that the body of an error names; empty where it names none."""
    try:
        return _code(read_json(body, "the reply", lenient=True)) or ""
    except UsageError:
        return ""


def _code(reply: object) -> str | None:
    """`error.code`, empty where that is nothing to read; None where there is no error."""
    error = cast("Mapping[str, object]", reply).get("error") if isinstance(reply, dict) else None
    if not error:
        return None
    code = cast("Mapping[str, object]", error).get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) else str(code) if code in range(1000) else ""


def _count(value: object) -> int | None:
    """A number of tokens that can be one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS else None
