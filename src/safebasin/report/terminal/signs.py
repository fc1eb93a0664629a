"""The characters that charts in a terminal are drawn with, and what becomes of them where only ASCII is known."""

from __future__ import annotations

import sys
import textwrap
from dataclasses import dataclass

__all__ = ["ASCII", "BLOCKS", "Signs", "is_encodable", "plain", "wrapped"]


@dataclass(frozen=True, slots=True)
class Signs:
    """The characters that the curve is drawn with."""

    levels: str
    """Ninths of a row, from empty to full; of the mean."""
    band: str
    """Between the mean and the highest direction."""
    tick: str
    wall: str
    floor: str
    corner: str
    origin: str
    limit: str
    shades: str
    """Of a map: under 10%, 50%, 75%, 95%, and above."""

    def shade(self, asr: float | None) -> str:
        """The character of a place; the sign of the band where nothing is measured."""
        if asr is None:
            return self.band
        return self.shades[sum(asr >= step for step in (0.1, 0.5, 0.75, 0.95))]


BLOCKS = Signs(" ▁▂▃▄▅▆▇█", "░", "┤", "│", "─", "└", "┴", "╌", " ·▒▓█")
ASCII = Signs("    #####", ":", "+", "|", "-", "+", "^", "-", " .x%#")


def is_encodable() -> bool:
    """Tell whether standard output takes the block characters."""
    try:
        "█▓▒░┤╌≥α‖θ".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


_NAMES = {
    "α": "alpha", "β": "beta", "θ": "theta", "π": "pi", "√": "sqrt", "‖": "||", "≥": ">=", "≤": "<=", "≈": "~",
    "×": "x", "→": "->", "·": "-", "−": "-", "–": "-", "…": "...",
}  # fmt: skip


def plain(text: str) -> str:
    """The text in ASCII: names for the signs of the field, escapes for the rest."""
    for sign, name in _NAMES.items():
        text = text.replace(sign, name)
    return text.encode("ascii", "backslashreplace").decode("ascii")


def wrapped(text: str, columns: int, indent: str = "") -> list[str]:
    """Lines of at most so many columns, at least one."""
    return textwrap.wrap(text, columns, subsequent_indent=indent) or [""]
