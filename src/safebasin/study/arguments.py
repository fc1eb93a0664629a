"""Arguments of a chat template as words of a command line: `K=V`, the value a plain YAML scalar or `@FILE`."""

from __future__ import annotations

from collections.abc import Iterable

from safebasin.errors import StudyError, expected
from safebasin.untrusted import scalar

__all__ = ["template_arguments"]

Value = str | int | float | bool | None


def template_arguments(words: Iterable[str], option: str = "--template-arg") -> dict[str, Value]:
    """The arguments that words give.

    Args:
        words: each `K=V`; `chat_template` takes `@FILE`, a name or a Jinja text as it stands.
        option: what to call them in messages.

    Raises:
        StudyError: naming the word that is none.
    """
    pairs: dict[str, Value] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.strip():
            raise StudyError(expected(option, "K=V", word, f"E.g. {option} enable_thinking=false."))
        pairs[key.strip()] = value if key.strip() == "chat_template" else _scalar(value, option, word)
    return pairs


def _scalar(text: str, option: str, word: str) -> Value:
    if text.startswith("@"):
        return text
    remedy = "Put it into quotes within the value, as in title='[1'."
    try:
        return scalar(text, option, error=StudyError)
    except StudyError as error:
        raise StudyError(expected(option, "K=V with a text, a number, true or false", word, remedy)) from error
