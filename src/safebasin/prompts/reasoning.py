"""Reasoning ("thinking") text, split off what a model says by its marks: stored, not judged.

Thinking is opened by what the template writes behind the conversation, or by the model itself; never by what a user or
a system prompt says. The marks are those that the template mentions; where a reply begins with those of another family
(`marks`), or with a pair that the vocabulary holds, with these.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

from safebasin.prompts.chat import TemplateArgs, Tokenizer, template_text
from safebasin.prompts.marks import HARMONY, THINKING_MARKERS, Markers, pairs_in, thinking_markers

__all__ = [
    "THINKING_MARKERS",
    "Markers",
    "Reasoning",
    "SplitReply",
    "opens_thinking",
    "special_ids",
    "split_answer",
    "split_channels",
    "split_thinking",
    "thinking_markers",
]


_START = 48
"""Tokens in which a mark must stand for a reply to begin with it."""


class SplitReply(NamedTuple):
    """Reasoning text, and the response that is judged."""

    thinking: str
    response: str


_CHANNEL_MARKS = ("<|start|>", "<|channel|>", "<|constrain|>", "<|message|>", "<|end|>", "<|return|>", "<|call|>")
_CHANNEL = re.compile(
    r"(?:<\|start\|>(?P<role>[\w.]*))?\s*<\|channel\|>(?P<name>\w*)(?:(?:[^<]|<\|constrain\|>)*<\|message\|>)?"
    r"(?P<body>.*?)(?=<\|start\|>|<\|channel\|>|<\|end\|>|<\|return\|>|<\|call\|>|\Z)",
    re.DOTALL,
)
_UNMARKED = re.compile(r"analysis(?=[A-Z\W])(?P<thinking>.*?)assistant\s*final(?P<response>.*)", re.DOTALL)
"""Channels of which a decode without special tokens has left the names."""


def opens_thinking(opening: str, markers: Markers | None) -> bool:
    """Tell whether what a template writes behind a conversation ends inside reasoning: its opening mark is written
    already.

    Args:
        opening: `chat.Rendered.opening`.
        markers: the template's pair.
    """
    return markers is not None and opening.rfind(markers.open) > opening.rfind(markers.close)


def split_thinking(text: str, markers: Markers | None, *, opened: bool = False) -> SplitReply:
    """Split reasoning off a text.

    A block that never closes is all reasoning, and nothing is left to judge. A closing marker without an opening one is
    part of the response: hiding what stands before it from the judges would be a way to fool them.

    Args:
        text: what the model wrote.
        markers: the template's pair; None splits nothing.
        opened: whether the prompt already ended inside reasoning.
    """
    if markers is None:
        return SplitReply("", text)
    thoughts: list[str] = []
    said: list[str] = []
    rest, inside = text, opened
    while rest:
        part, found, rest = rest.partition(markers.close if inside else markers.open)
        (thoughts if inside else said).append(part)
        if found:
            inside = not inside
    if not thoughts:
        return SplitReply("", text)
    return SplitReply("\n".join(t.strip() for t in thoughts if t.strip()), "".join(said).lstrip("\n"))


def split_channels(text: str, *, opened: bool = False) -> SplitReply:
    """Split a reply of channels (harmony, gpt-oss): `final` is the response, any other channel reasoning.

    The response ends where its message does; a turn of another speaker that follows was made up. A text without
    channels is the response, a message that never ends belongs to its channel.

    Args:
        text: what the model wrote.
        opened: whether the prompt already ended inside the channel `analysis`.
    """
    text = HARMONY.open + text if opened else text
    first = text.find("<|channel|>")
    if first < 0:
        return SplitReply("", text)
    thoughts: list[str] = []
    said: list[str] = []
    for message in _CHANNEL.finditer(text):
        if message["role"] not in (None, "", "assistant"):
            break
        (said if message["name"] == "final" else thoughts).append(message["body"])
        if message["name"] == "final":
            break
    head = re.sub(r"<\|start\|>\w*\s*$", "", text[:first])
    return SplitReply("\n".join(t.strip() for t in thoughts if t.strip()), (head + "".join(said)).lstrip("\n"))


def split_answer(text: str, families: Sequence[Markers] = THINKING_MARKERS) -> SplitReply:
    """Split a text of which no template is known: reasoning it begins with, by any family; later blocks where closed.

    Args:
        text: what a model wrote.
        families: the pairs that count.
    """
    start = text.lstrip()
    if start.startswith(("<|channel|>", "<|start|>assistant<|channel|>")):
        return split_channels(start)
    if unmarked := _UNMARKED.fullmatch(start):
        return SplitReply(unmarked["thinking"].strip(), unmarked["response"])
    family = next((m for m in families if start.startswith(m.open)), None)
    if family is not None:
        return split_thinking(text, family)
    return next((split_thinking(text, m) for m in families if _holds_block(text, m)), SplitReply("", text))


def _holds_block(text: str, markers: Markers) -> bool:
    """Whether every block that opens in a text also closes, and there is one."""
    opened = text.count(markers.open)
    return 0 < opened <= text.count(markers.close) and text.find(markers.open) < text.find(markers.close)


def special_ids(tokenizer: Tokenizer) -> frozenset[int]:
    """Every token that a decode without special tokens drops: the named ones, and added ones marked as special."""
    added = (i for i, token in tokenizer.added_tokens_decoder.items() if getattr(token, "special", False))
    named = (i for i in tokenizer.all_special_ids if i is not None)  # a named token may be in no vocabulary
    return frozenset([*named, *added])


@dataclass(frozen=True, slots=True)
class Reasoning:
    """The marks of reasoning of one tokenizer's template, applied to token ids."""

    tokenizer: Tokenizer
    markers: Markers | None
    """The template's pair."""
    others: tuple[Markers, ...]
    """Pairs that count where a reply begins with one."""
    special: Mapping[int, str]
    """Special tokens, which a plain decode drops."""

    @classmethod
    def of(cls, tokenizer: Tokenizer, template_args: TemplateArgs = ()) -> Reasoning:
        """The reasoning marks of the template that `render` uses, and of the vocabulary.

        Raises:
            ModelError: as `template_text`.
        """
        markers = thinking_markers(template_text(tokenizer, template_args))
        added = [str(tokenizer.convert_ids_to_tokens(i)) for i in tokenizer.added_tokens_decoder]
        others = tuple(m for m in (*THINKING_MARKERS, *pairs_in(added)) if m not in (markers, HARMONY))
        special = {i: str(tokenizer.convert_ids_to_tokens(i)) for i in special_ids(tokenizer)}
        return cls(tokenizer, markers, others, special)

    @property
    def before_answer(self) -> str:
        """The text before an answer without reasoning, where replies come in channels; else empty."""
        return HARMONY.close if self.markers == HARMONY else ""

    def split(self, ids: Sequence[int], *, opened: bool = False, surplus: int = 0) -> SplitReply:
        """Reasoning and response of generated tokens, decoded without special tokens other than the marks.

        Args:
            ids: what the model wrote.
            opened: whether the prompt already ended inside reasoning.
            surplus: characters at the end that are not its own, but those of a text that ended its turn.
        """

        def text(marks: Sequence[str]) -> str:
            whole = self._text(ids, marks)
            return whole[: max(len(whole) - surplus, 0)]

        if self.markers == HARMONY:
            return split_channels(text(_CHANNEL_MARKS), opened=opened)
        if not opened:
            start = self._text(ids[:_START], None).lstrip()
            if start.startswith(("<|channel|>", "<|start|>assistant<|channel|>")):
                return split_channels(text(_CHANNEL_MARKS))
            family = next((m for m in self.others if start.startswith(m.open)), None)
            if family is not None:
                return split_thinking(text(family), family)
        return split_thinking(text(self.markers or ()), self.markers, opened=opened)

    def _text(self, ids: Sequence[int], marks: Sequence[str] | None) -> str:
        """The decoded text with those special tokens that are (part of) a mark; with all where None."""
        kept = {i: token for i, token in self.special.items() if marks is None or any(token in mark for mark in marks)}
        pieces: list[str] = []
        run: list[int] = []
        for i in ids:
            if i in kept:
                pieces += [self._decode(run), kept[i]]
                run = []
            else:
                run.append(i)
        pieces.append(self._decode(run))
        return "".join(pieces)

    def _decode(self, ids: Sequence[int]) -> str:
        return cast("str", self.tokenizer.decode(ids, skip_special_tokens=True)) if ids else ""
