"""Lists of refusal phrases, as versioned data files: a line a phrase, `#` begins a comment line."""

from __future__ import annotations

from collections import Counter
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
    spoken = (phrase for cue, those in _by_cue(phrases) if cue in text for phrase in those if phrase in text)
    hits = [(text.find(phrase) + len(phrase), phrase) for phrase in spoken]
    end, phrase = min(hits, default=(0, ""))
    return (phrase, end) if hits else None


_LEAST, _MOST = 4, 40
"""Characters of a cue: shorter ones stand in most texts."""


@cache
def _by_cue(phrases: tuple[str, ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Phrases by something that they all hold: a text without it holds none of them, and is gone through once, not
    once a phrase. The cue of most phrases first; of a list of 29 there are 11.
    """
    found: list[tuple[str, tuple[str, ...]]] = []
    left: list[str] = list(dict.fromkeys(phrases))
    while left:
        n_holding: Counter[str] = Counter(cue for phrase in left for cue in _parts(phrase))
        cue = min(n_holding, key=lambda part: (-n_holding[part], -len(part), part))
        found.append((cue, tuple(phrase for phrase in left if cue in phrase)))
        left = [phrase for phrase in left if cue not in phrase]
    return tuple(found)


def _parts(phrase: str) -> set[str]:
    """Every part of a phrase that may be a cue; of a short one the whole."""
    least = min(_LEAST, len(phrase))
    sizes = range(least, min(_MOST, len(phrase)) + 1)
    return {phrase[start : start + size] for size in sizes for start in range(len(phrase) - size + 1)}
