"""One rendering of a chat template: by the tokenizer itself, on a fixed day, within limits of time and memory.

A template comes with a model, so it is untrusted: whatever it raises becomes `TemplateProblem`, a loop without end is
stopped, a text without end is never built. Not what a rendering must hold (`chat`). Nothing imports torch or
transformers; the clock is the one that transformers gives to templates (`strftime_now`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from types import FrameType
from typing import Any, Protocol, cast

import psutil
from jinja2 import Environment
from jinja2.exceptions import TemplateError

from safebasin.errors import ModelError, expected
from safebasin.records import Message, Scalar

__all__ = ["LIMIT_BYTES", "LIMIT_S", "Template", "TemplateProblem", "Tokenizer", "today"]

LIMIT_S = 5.0
"""Seconds that one rendering may take; a usual one takes a thousandth of one."""
LIMIT_BYTES = 2**30
"""Memory that one rendering may take."""
LARGEST = 10_000_000
"""Largest number that a template may write or multiply up to: what it repeats so often fits into no context."""
_CLOCK = "strftime_now"
_STEPS = 2_048
"""Steps of a template between two looks at the limits."""


class Tokenizer(Protocol):
    """The part of a transformers tokenizer that is used here."""

    chat_template: object
    special_tokens_map: Mapping[str, object]
    all_special_ids: list[int | None]
    added_tokens_decoder: Mapping[int, object]

    def apply_chat_template(self, conversation: object, **kwargs: object) -> object: ...

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool) -> object: ...

    def convert_ids_to_tokens(self, ids: int) -> object: ...


class TemplateProblem(Exception):
    """The reason why a template did not render a conversation: its own message, or the class of its error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A chat template with all that shapes what it writes but the conversation."""

    tokenizer: Tokenizer
    """Whose `apply_chat_template` renders."""
    text: str
    """Jinja."""
    arguments: Mapping[str, Scalar]
    """Passed to it."""
    date: str | None = None
    """The day that its clock shows (ISO 8601), at midnight; None leaves it the real clock."""
    parts: bool = False
    """Whether contents are passed as lists of parts, as templates of vision models walk them."""

    def write(self, messages: Sequence[Message], *, opened: bool, continued: bool = False) -> str:
        """Write what the template makes of a conversation.

        Args:
            messages: at least one turn.
            opened: whether the assistant's turn is opened behind the conversation.
            continued: whether the last turn is left open to be continued.

        Raises:
            TemplateProblem: where it raises anything.
            ModelError: where it takes too long or too much memory.
        """
        _check_numbers(self.text)
        clock: dict[str, object] = {} if self.date is None else {_CLOCK: datetime.fromisoformat(self.date).strftime}
        turns = [{"role": m.role, "content": _parts(m) if self.parts else m.content} for m in messages]
        try:
            with _limited():
                text = self.tokenizer.apply_chat_template(
                    turns, chat_template=self.text, tokenize=False, add_generation_prompt=opened,
                    continue_final_message=continued, **{**clock, **self.arguments},
                )  # fmt: skip
        except ModelError:
            raise
        except TemplateError as error:
            raise TemplateProblem(str(error)) from error
        except Exception as error:  # whatever code of a template can raise: 1/0, a key that is not there, recursion
            raise TemplateProblem(f"{type(error).__name__}: {error}") from error
        return cast("str", text)

    @property
    def reads_clock(self) -> bool:
        """True where it asks what day it is."""
        return _CLOCK in self.text


def today(tokenizer: Tokenizer) -> str:
    """The day that the clock of templates shows, ISO 8601; the day in UTC where a tokenizer gives them no clock."""
    asked = (Message(role="user", content="today"),)
    try:
        clock = Template(tokenizer=tokenizer, text=f"{{{{ {_CLOCK}('%Y-%m-%d') }}}}", arguments={})
        said = clock.write(asked, opened=False)
        return datetime.fromisoformat(said).date().isoformat()
    except (TemplateProblem, ValueError):
        return datetime.now(UTC).date().isoformat()


def _parts(message: Message) -> list[dict[str, str]]:
    """A turn's contents in order: the template writes a mark where the image is to stand."""
    text = {"type": "text", "text": message.content}
    return [text] if message.image is None else [{"type": "image"}, text]


@lru_cache(maxsize=64)
def _check_numbers(template: str) -> None:
    """Refuse powers and huge numbers before Jinja computes them: it folds constants when it compiles.

    Raises:
        ModelError: naming the line.
    """
    product, multiplied, before = 1, False, ""
    try:
        tokens = list(Environment(autoescape=False).lex(template))  # nothing is rendered by this environment
    except TemplateError:
        return  # the tokenizer says what is wrong, with the line
    for line, kind, value in tokens:
        if kind in ("variable_begin", "block_begin"):
            product, multiplied = 1, False
        elif kind == "integer":
            number = _number(value)
            product *= max(1, number)
            if number > LARGEST:
                raise ModelError(_endless(f"the number {value[:20]} in line {line}"))
        elif value == "**" and before not in ("(", ","):  # in a call it passes keywords on
            raise ModelError(_endless(f"a power in line {line}"))
        elif kind == "operator" and value == "*":
            multiplied = True
        if multiplied and product > LARGEST:
            raise ModelError(_endless(f"a product in line {line}"))
        if kind != "whitespace":
            before = value


def _number(digits: str) -> int:
    return int(digits.replace("_", ""), 0) if len(digits) < 20 else LARGEST + 1


@contextmanager
def _limited() -> Generator[None]:
    """Stop a template that runs too long or builds too much, by tracing its lines in this thread.

    Only lines of templates are traced, and the calls that they make; a signal would need the main thread.
    """
    process = psutil.Process()
    deadline, memory, steps = time.monotonic() + LIMIT_S, process.memory_info().rss + LIMIT_BYTES, 0

    def watch(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal steps
        steps += 1
        if steps % _STEPS == 0:
            if time.monotonic() > deadline:
                raise ModelError(_endless(f"more than {LIMIT_S:g} s"))
            if process.memory_info().rss > memory:
                raise ModelError(_endless(f"more than {LIMIT_BYTES / 2**30:g} GB"))
        return watch if frame.f_code.co_filename == "<template>" else None

    outer = sys.gettrace()
    sys.settrace(watch)
    try:
        yield
    finally:
        sys.settrace(outer)


def _endless(found: str) -> str:
    remedy = "Mend its loops and numbers, or pass another one with --template-arg chat_template=@FILE."
    constraint = f"one that renders within {LIMIT_S:g} s and {LIMIT_BYTES / 2**30:g} GB"
    return expected("chat template", constraint, found, remedy)
