"""The marks between which models write their reasoning: known families, and pairs that a vocabulary spells out.

Not where a text is cut (`reasoning`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["HARMONY", "THINKING_MARKERS", "Markers", "pairs_in", "thinking_markers"]


class Markers(NamedTuple):
    """The marks before and after reasoning text."""

    open: str
    close: str


HARMONY = Markers("<|channel|>analysis<|message|>", "<|channel|>final<|message|>")
"""Of gpt-oss, whose replies are messages of channels rather than a block and the rest (`reasoning.split_channels`)."""

THINKING_MARKERS = (
    Markers("<think>", "</think>"),
    Markers("[THINK]", "[/THINK]"),
    Markers("<|START_THINKING|>", "<|END_THINKING|>"),
    Markers("<seed:think>", "</seed:think>"),
    HARMONY,
    Markers("<|channel>thought", "<channel|>"),
    Markers("<thinking>", "</thinking>"),
    Markers("<thought>", "</thought>"),
    Markers("<thoughts>", "</thoughts>"),
    Markers("<reasoning>", "</reasoning>"),
    Markers("<scratchpad>", "</scratchpad>"),
    Markers("<longcat_think>", "</longcat_think>"),
    Markers("◁think▷", "◁/think▷"),
    Markers("<|begin_of_thought|>", "<|end_of_thought|>"),
    Markers("<|inner_prefix|>", "<|inner_suffix|>"),
)
"""Known pairs, in order of preference: Qwen, DeepSeek and most others, Mistral, Cohere, Seed, gpt-oss, Gemma 4, models
that were taught by prompts (four kinds), scratchpads, LongCat, Kimi, Sky-T1, Apertus."""

ONLY_BY_TEMPLATE = (Markers("Here is my thought process:", "Here is my response:"),)
"""Plain words are marks only where the template says so: Granite 3."""

_TAG = re.compile(r"<[^<>\s]{3,40}>|\[/?[A-Z_]{3,30}\]|◁/?\w+▷")
_ABOUT = re.compile(r"think|thought|reason|ponder|scratch", re.IGNORECASE)
_TURNS = (("begin", "end"), ("start", "end"), ("open", "close"), ("prefix", "suffix"), ("bo", "eo"))
"""How a vocabulary names two ends, where the second is not the first with a slash."""


def thinking_markers(template: str) -> Markers | None:
    """The pair of marks that a template mentions, or None where it knows no reasoning."""
    known = (*THINKING_MARKERS, *ONLY_BY_TEMPLATE)
    mentioned = next((m for m in known if m.close in template or m.open in template), None)
    if mentioned is None and "<|channel|>" in template and "<|message|>" in template:
        return HARMONY
    return mentioned or next(iter(pairs_in(_TAG.findall(template))), None)


def pairs_in(words: Iterable[str]) -> tuple[Markers, ...]:
    """Pairs of tags about thinking among words, such as those of a vocabulary, in their order; no known family."""
    tags = dict.fromkeys(word for word in words if _TAG.fullmatch(word) and _ABOUT.search(word))
    found = (Markers(tag, close) for tag in tags for close in _closings(tag) if close in tags)
    return tuple(m for m in dict.fromkeys(found) if m not in THINKING_MARKERS)


def _closings(tag: str) -> tuple[str, ...]:
    """What could close a tag."""
    slashed = (f"{tag[0]}/{tag[1:]}", f"<|/{tag[2:]}" if tag.startswith("<|") else "")
    turned = [
        tag.replace(case(first), case(second))
        for first, second in _TURNS
        for case in (str.lower, str.upper, str.capitalize)
        if case(first) in tag
    ]
    return tuple(close for close in (*slashed, *turned) if close and close != tag)
