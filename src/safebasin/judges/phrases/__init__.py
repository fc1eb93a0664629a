"""Lists of refusal phrases, as versioned data files: a line a phrase, `#` begins a comment line."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def load(name: str) -> tuple[str, ...]:
    """The phrases of a list, in the order of its file.

    Args:
        name: file name without `.txt`, with its version, e.g. `peng2024.v1`.
    """
    text = resources.files(__name__).joinpath(f"{name}.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line and not line.startswith("#"))


def find_first(phrases: tuple[str, ...], text: str) -> tuple[str, int] | None:
    """The phrase whose occurrence ends first, and where it ends; None where no phrase occurs. Case-sensitive."""
    hits = [(text.find(phrase) + len(phrase), phrase) for phrase in phrases if phrase in text]
    end, phrase = min(hits, default=(0, ""))
    return (phrase, end) if hits else None
