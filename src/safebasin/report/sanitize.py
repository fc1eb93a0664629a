"""Text that others wrote, made safe to show: what a terminal or a browser would obey becomes visible. Pure.

Not HTML escaping: that is the template's. Nothing is dropped; a reader sees that the character was there.
"""

from __future__ import annotations

import re

__all__ = ["visible"]

_OBEYED = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and newline, DEL, C1: among them ESC and CSI
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u3164\uffa0"  # drawn as nothing
    "\u200b-\u200f\u2060-\u2064\ufeff"  # zero width, and marks of direction
    "\u2028\u2029"  # line ends to JavaScript and to some terminals
    "\u202a-\u202e\u2066-\u206f"  # overrides and isolates: text that reads otherwise than it is stored
    "\ufff9-\ufffb"  # interlinear annotation
    "\U000e0000-\U000e01ef"  # tags and selectors: text that nobody sees
    "\ud800-\udfff"  # lone surrogates: no encoding takes them
    "]"
)


def visible(text: str) -> str:
    r"""The text with every character that is obeyed rather than read as an escape such as `\x1b` or `\u202e`.

    Newline and tab stay; so does everything else, emoji and other scripts among it. Idempotent: what it writes is plain
    ASCII.
    """
    if text.isascii() and text.isprintable():  # nearly every text: thrice as fast as looking for each of them
        return text
    return _OBEYED.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found.group())
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return f"\\u{code:04x}" if code > 0xFF else f"\\x{code:02x}"
