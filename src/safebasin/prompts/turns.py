"""How a chat template ends the assistant's turn: the token or text behind which a model speaks for somebody else.

Read off the template itself: a conversation with an assistant's turn in it is rendered, and what stands behind that
turn, before the next speaker, is its end. Needed because many folders name only the base model's end of text in their
settings, so that rows would run on into turns that the model makes up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from safebasin.prompts.chat import TemplateArgs, Tokenizer, template_of
from safebasin.prompts.marks import HARMONY, thinking_markers
from safebasin.prompts.templates import Template, TemplateProblem
from safebasin.records import Message

__all__ = ["TurnEnds", "turn_ends"]

_SAID = ("Who sings there?", "It is 3ANSWERED3", "And who listens?", "Nobody 3ANSWERED3")
_ANSWERED, _NEXT = "3ANSWERED3", "And who listens?"
_MARK = re.compile(r"<[^<>\s]{1,40}>|\[/?[A-Z_]{3,30}\]")
_HEADING = re.compile(r"\n\s*[^\n]{3,40}?(?=[:\n])[:]?")
"""A line that opens the next turn where a template writes no mark: `### Human:`."""
_ALSO = {"<|eot_id|>": ("<|eom_id|>",), HARMONY.close: ("<|return|>", "<|call|>")}
"""What ends a turn beside the token that a plain conversation shows: Llama 3's calls of tools, gpt-oss's."""


class TurnEnds(NamedTuple):
    """The token ids and texts that end the assistant's turn."""

    ids: frozenset[int]
    """Single tokens."""
    texts: tuple[str, ...]
    """Texts that are no single token of this vocabulary."""


def turn_ends(tokenizer: Tokenizer, template_args: TemplateArgs = ()) -> TurnEnds:
    """Find what the template that `render` uses ends the assistant's turn with; nothing where it shows none.

    Raises:
        ModelError: as `template_text`, or where the template renders without end.
    """
    template = template_of(tokenizer, template_args, date="2024-07-26")  # of any day: only ends are looked at
    tokens = {str(token): i for i, token in tokenizer.added_tokens_decoder.items()}
    if thinking_markers(template.text) == HARMONY:  # `<|end|>` also ends a message of thoughts
        return TurnEnds(frozenset(tokens[t] for t in _ALSO[HARMONY.close] if t in tokens), ())
    ids: set[int] = set()
    texts: dict[str, None] = {}
    for behind in _behind(template):
        end = _first(behind, tokens)
        if end in tokens:
            ids |= {tokens[t] for t in (end, *_ALSO.get(end, ())) if t in tokens}
        elif end:
            texts[end] = None
    return TurnEnds(frozenset(ids), () if ids else tuple(texts))


def _behind(template: Template) -> Iterator[str]:
    """What stands behind an answer: amid a conversation, before the next speaker's words, and at its end."""
    roles = ("user", "assistant", "user", "assistant")
    turns = [Message(role=role, content=said) for role, said in zip(roles, _SAID, strict=True)]  # pyright: ignore[reportArgumentType]
    for messages in (turns, turns[:2]):
        try:
            text = template.write(messages, opened=False)
        except TemplateProblem:
            continue
        amid, last = text.partition(_ANSWERED), text.rpartition(_ANSWERED)
        if len(messages) > 2 and amid[1] and _NEXT in amid[2]:
            yield amid[2].partition(_NEXT)[0]
        if last[1]:
            yield last[2]


def _first(behind: str, tokens: Mapping[str, int]) -> str:
    """The token, mark or heading that a text begins with; empty where it begins with none."""
    start = behind.lstrip()
    held = max((t for t in tokens if t.strip() and start.startswith(t)), key=len, default="")
    if held:
        return held
    mark = _MARK.match(start)
    if mark:
        return mark[0]
    heading = _HEADING.match(behind)
    return heading[0] if heading else ""
