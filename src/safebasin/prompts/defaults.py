"""The system prompt that a chat template writes itself where a conversation has none: "You are a helpful assistant."

Read off the template: of two renderings, with a system turn and without, what stands in its place is that prompt. It
counts only where the template writes the same with it as without.
"""

from __future__ import annotations

from safebasin.prompts.chat import TemplateArgs, Tokenizer, template_of
from safebasin.prompts.templates import TemplateProblem
from safebasin.records import Message

__all__ = ["default_system"]

_MARK = "3SYSTEM3"
_ASKED = Message(role="user", content="Who sings there?")


def default_system(tokenizer: Tokenizer, template_args: TemplateArgs = (), *, date: str | None = None) -> str:
    """The template's own system prompt; empty where it writes none, or knows no system turn.

    Args:
        tokenizer: a transformers tokenizer.
        template_args: as of `rendered`.
        date: the day that the template's clock shows, ISO 8601; None is today.

    Raises:
        ModelError: as `template_text`, or where the template renders without end.
    """
    template = template_of(tokenizer, template_args, date=date)

    def written(*systems: str) -> str:
        turns = [Message(role="system", content=text) for text in systems]
        return template.write([*turns, _ASKED], opened=True)

    try:
        plain, (before, found, after) = written(), written(_MARK).partition(_MARK)
        if (
            not found
            or len(plain) < len(before) + len(after)
            or not (plain.startswith(before) and plain.endswith(after))
        ):
            return ""
        own = plain[len(before) : len(plain) - len(after)]
        return own if written(own) == plain else ""
    except TemplateProblem:
        return ""
