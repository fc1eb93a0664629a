"""Whether a text holds any of very many substrings, told in one pass over it. Not a search for words or by language."""

from __future__ import annotations

import re
from functools import cache, cached_property

__all__ = ["AnyOf", "any_of", "trie"]


class AnyOf:
    """A set of substrings to be looked for together."""

    def __init__(self, substrings: tuple[str, ...]) -> None:
        """Compile nothing yet.

        Args:
            substrings: what is looked for, case-sensitive.
        """
        self._substrings = substrings

    def is_in(self, text: str) -> bool:
        """Tell whether at least one of them stands in the text."""
        return (self._ascii if text.isascii() else self._every).search(text) is not None

    @cached_property
    def _ascii(self) -> re.Pattern[str]:
        return _compiled([one for one in self._substrings if one.isascii()])

    @cached_property
    def _every(self) -> re.Pattern[str]:
        return _compiled(list(self._substrings))


@cache
def any_of(substrings: tuple[str, ...]) -> AnyOf:
    """Look for these substrings; what was compiled for the same ones before is used again."""
    return AnyOf(substrings)


def trie(words: list[str]) -> str:
    """A pattern that any of the words matches, which looks at each letter once."""
    heads = dict.fromkeys(word[:1] for word in words)
    if "" in heads:
        return ""
    parts = [re.escape(head) + trie([word[1:] for word in words if word.startswith(head)]) for head in heads]
    return parts[0] if len(parts) == 1 else f"(?:{'|'.join(parts)})"


def _compiled(words: list[str]) -> re.Pattern[str]:
    return re.compile(trie(words) if words else r"(?!)")
