"""The key of an endpoint, kept out of every text that comes back from it, however the server spells it.

A text is masked whole, before anything shortens it: half a key is a secret too. Not here: where the key is sent.
"""

from __future__ import annotations

import re
from base64 import b64encode
from html import escape

from safebasin.errors import UsageError, expected

__all__ = ["KEY_VARIABLE", "LEAST", "MASK", "Secret"]

KEY_VARIABLE = "OPENAI_API_KEY"
MASK = "[key]"
LEAST = 8
"""Characters of a key. A shorter one cannot be told from words, so it can neither be masked nor left unmasked."""
_HEAD = 12
"""Characters, or half the key if that is more, that are masked where a server shows no more of it."""
_BACKSLASHES = r"\\{0,8}+"


class Secret:
    """A key, and every spelling of it that servers are known to echo.

    Those are: the key in any case, with any of its characters escaped (JSON, Python, HTML, percent), in hexadecimal,
    and in base64 wherever it begins there; whole, or its first half.

    Args:
        key: plain ASCII; empty where the endpoint needs none.

    Raises:
        UsageError: where it is no single line of ASCII, or shorter than `LEAST`.
    """

    def __init__(self, key: str) -> None:
        self.key = key.strip()
        self._pattern: re.Pattern[str] | None = None
        if not self.key:
            return
        if not self.key.isascii() or not self.key.isprintable():
            raise UsageError(expected(KEY_VARIABLE, "plain ASCII in one line", "something else", "Export it again."))
        if len(self.key) < LEAST:
            remedy = "A shorter one cannot be kept out of what is stored; where the server needs none, unset it."
            got = f"one of {len(self.key)}"
            raise UsageError(expected(KEY_VARIABLE, f"a key of at least {LEAST} characters", got, remedy))
        head = self.key[: max(_HEAD, len(self.key) // 2)]
        spellings = [*_spellings(self.key), *(f"(?:{spelled})[\\w+/=-]*+" for spelled in _spellings(head))]
        self._pattern = re.compile("|".join(spellings), re.IGNORECASE)

    def __repr__(self) -> str:
        return f"Secret({MASK if self.key else ''})"

    def masked(self, text: str) -> str:
        """The text without the key."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)


def _spellings(text: str) -> tuple[str, ...]:
    return re.escape(text), _escaped(text), _hexadecimal(text), *_base64(text)


def _escaped(text: str) -> str:
    r"""Any of its characters as `\u006b`, `\x6b`, `%6b`, `&#107;`, `&#x6b;` or `&lt;`; backslashes may be doubled.

    Every character matches in one way only (atomic, possessive): no text makes this slow.
    """
    return "".join(_character(char) for char in text)


def _character(char: str) -> str:
    code = ord(char)
    spelled = [rf"u\{{?0{{0,6}}{code:02x}\}}?", rf"x{code:02x}", rf"%(?:25){{0,3}}{code:02x}"]
    spelled += [rf"&#0{{0,6}}{code};", rf"&#x0{{0,6}}{code:x};"]
    if escape(char) != char:
        spelled.append(re.escape(escape(char)))
    if char == " ":
        spelled.append(r"\+")
    if char == "\\":
        return rf"(?>\\{{1,8}}+(?:{'|'.join(spelled)})?|{'|'.join(spelled)})"
    return rf"(?>{_BACKSLASHES}(?:{'|'.join(spelled)}|{re.escape(char)}))"


def _hexadecimal(text: str) -> str:
    return r"[\s:,-]?".join(f"{ord(char):02x}" for char in text)


def _base64(text: str) -> tuple[str, ...]:
    """The characters that do not hang on what stands before and behind, for each of the three places of a beginning."""
    found: list[str] = []
    for before in range(3):
        bits = 8 * (before + len(text))
        whole = b64encode(bytes(before) + text.encode()).decode()
        stable = whole[-(-8 * before // 6) : bits // 6]
        found.append("".join({"+": "[+-]", "/": r"\\?[/_]"}.get(char, re.escape(char)) for char in stable))
    return tuple(found)
