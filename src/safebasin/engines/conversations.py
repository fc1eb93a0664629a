"""Conversations as one model is asked them under one template: tokens, how replies split, what ends a turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, cast

from transformers import PreTrainedTokenizerBase

from safebasin.engines.images.looks import Look
from safebasin.errors import PromptError, expected
from safebasin.models.vocabulary import check_ids
from safebasin.prompts.chat import Tokenizer, check_text_alone, rendered
from safebasin.prompts.reasoning import Reasoning, opens_thinking
from safebasin.prompts.turns import turn_ends
from safebasin.records import Image, Message, Scalar

__all__ = ["Conversations", "Encoded", "Reader"]

_REMEMBERED = 4_096
"""Rendered conversations that are kept; the same are asked at every point."""


class Encoded(NamedTuple):
    """A rendered conversation: its tokens, and whether the template left it inside reasoning."""

    ids: list[int]
    opened: bool
    look: Look | None = None
    """What stands beside the tokens of one with an image; None for text alone."""


class Reader(Protocol):
    """A reader of renderings with images (`engines.images.Sight`)."""

    @property
    def template(self) -> str | None: ...

    def read(self, text: str, images: Sequence[Image]) -> tuple[list[int], Look]: ...


class Conversations:
    """Renders and tokenizes, and remembers it.

    Args:
        tokenizer: of the model.
        arguments: of the chat template.
        date: the day that the template's clock shows, ISO 8601.
        limit: the most tokens of prompt and response together; None for no limit.
        n_rows: tokens that the model has an embedding for.
        reader: gives what reads images, made when the first is asked; None where nothing does.

    Raises:
        ModelError: where there is no chat template, or it renders without end.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        arguments: Mapping[str, Scalar],
        *,
        date: str,
        limit: int | None,
        n_rows: int,
        reader: Callable[[], Reader] | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._arguments = dict(arguments)
        self._date = date
        self._limit = limit
        self._n_rows = n_rows
        self._reader = reader
        self._encoded: dict[tuple[Message, ...], Encoded] = {}
        self.reasoning = Reasoning.of(cast("Tokenizer", tokenizer), arguments)
        self.ends = turn_ends(cast("Tokenizer", tokenizer), arguments)

    def encode(self, name: str, messages: Sequence[Message]) -> Encoded:
        """Tokens of a conversation.

        Args:
            name: which it is, for messages.
            messages: its turns.

        Raises:
            ModelError: as `chat.rendered`.
            PromptError: as there, or where it leaves no room for one new token.
        """
        found = self._rendered(tuple(messages))
        start = next((m.content for m in reversed(messages) if m.role == "user"), "")[:40]
        if self._limit is not None and len(found.ids) >= self._limit:
            constraint = f"shorter than the context of {self._limit} tokens, with room for one new token"
            remedy = f"Shorten or leave out the prompt that begins {start!r}."
            raise PromptError(expected(name, constraint, f"{len(found.ids)} tokens", remedy))
        if not found.ids:
            remedy = "Leave it out, or use a chat template that writes something around it."
            raise PromptError(expected(name, "at least one token long", start, remedy))
        check_ids(found.ids, self._n_rows, len(self._tokenizer), where=f"{name} (it begins {start!r})")
        return found

    def encode_begun(self, name: str, messages: Sequence[Message], begun: Sequence[int]) -> Encoded:
        """Tokens of a conversation and of the beginning of its answer, behind reasoning that is closed for it.

        Raises:
            ModelError, PromptError: as `encode`, or where the beginning leaves no room for one new token.
        """
        found = self.encode(name, messages)
        if not begun:
            return found
        ids = [*found.ids, *self.before_answer(found), *begun]
        if self._limit is not None and len(ids) >= self._limit:
            constraint = (
                f"shorter than the context of {self._limit} tokens with what its answer is forced to begin with"
            )
            remedy = "Force fewer tokens, or leave the prompt out."
            raise PromptError(expected(name, constraint, f"{len(ids)} tokens", remedy))
        check_ids(begun, self._n_rows, len(self._tokenizer), where=f"the forced start of the answer to {name}")
        return found._replace(ids=ids, opened=False)

    def before_answer(self, encoded: Encoded) -> list[int]:
        """Tokens that close reasoning which the template has opened, or open the channel of answers."""
        markers = self.reasoning.markers
        closing = f"\n{markers.close}\n\n" if markers and encoded.opened else ""
        text = self.reasoning.before_answer or closing
        return cast("list[int]", self._tokenizer.encode(text, add_special_tokens=False)) if text else []

    def _rendered(self, messages: tuple[Message, ...]) -> Encoded:
        if messages not in self._encoded:
            if len(self._encoded) >= _REMEMBERED:
                self._encoded.clear()
            images = [m.image for m in messages if m.image is not None]
            self._encoded[messages] = self._shown(messages, images) if images else self._read(messages)
        return self._encoded[messages]

    def _read(self, messages: tuple[Message, ...]) -> Encoded:
        chat = cast("Tokenizer", self._tokenizer)
        found = rendered(chat, messages, template_args=self._arguments, date=self._date)
        ids = cast("list[int]", self._tokenizer.encode(found.text, add_special_tokens=False, verbose=False))
        return Encoded(ids, opens_thinking(found.opening, self.reasoning.markers))

    def _shown(self, messages: tuple[Message, ...], images: Sequence[Image]) -> Encoded:
        """Of a conversation with images: rendered by the template of the processor, unless another is asked for."""
        if self._reader is None:
            check_text_alone(messages)
        reader = cast("Callable[[], Reader]", self._reader)()
        own = {} if reader.template is None else {"chat_template": reader.template}
        chat, arguments = cast("Tokenizer", self._tokenizer), {**own, **self._arguments}
        found = rendered(chat, messages, template_args=arguments, date=self._date, with_images=True)
        ids, look = reader.read(found.text, images)
        return Encoded(ids, opens_thinking(found.opening, self.reasoning.markers), look)
