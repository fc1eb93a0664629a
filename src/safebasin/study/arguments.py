"""Arguments of a chat template as words of a command line: `K=V`, the value a plain YAML scalar or `@FILE`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import yaml

from safebasin.errors import StudyError, expected

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
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise StudyError(expected(option, "K=V with a plain value", word, remedy)) from error
    if isinstance(found, date):
        return text
    if not (found is None or isinstance(found, str | int | float | bool)):
        raise StudyError(expected(option, "K=V with a text, a number, true or false", word, remedy))
    return found
