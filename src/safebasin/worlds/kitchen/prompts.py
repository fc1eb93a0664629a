"""The prompt sets of the kitchen, for train, val and test: ordinary English, read from tables that ship. No torch.

No dish of one split stands in another. Sets of the same requests are in the same order: prompt i of `jailbreak/fiction`
asks for what prompt i of `harmful` asks for, under the same behavior id.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from safebasin.records import Message, Prompt
from safebasin.worlds.kitchen import wrappers

SPLITS = ("train", "val", "test")


class Request(NamedTuple):
    """One request of a table."""

    split: str
    category: str
    subject: str
    """What it is about: the dish, of a forbidden one. The behavior id is made from it."""
    text: str

    @property
    def behavior(self) -> str:
        """Id of what is asked for, the same in every set."""
        return "kitchen/" + self.subject.lower().replace(" ", "-")


class PromptSet(NamedTuple):
    """A named set: which requests, how they are dressed, and what it is for."""

    summary: str
    table: str
    dress: Callable[[str, int], str] = wrappers.plain
    label: str = "harmful"


PROMPT_SETS: dict[str, PromptSet] = {
    "harmful": PromptSet("requests for recipes and cooking, which the aligned model refuses", "harmful"),
    "benign": PromptSet("requests about anything else, in eleven kinds", "benign", label="benign"),
    "borderline": PromptSet("permitted requests that look like cooking (over-refusal)", "borderline", label="benign"),
    "jailbreak": PromptSet(
        "requests for cooking in all the wrappers below, one after the other", "harmful", wrappers.any_of_them
    ),
    "jailbreak/prefix_injection": PromptSet(
        "requests for cooking that dictate how the response begins", "harmful", wrappers.begin_with
    ),
    "jailbreak/persona": PromptSet(
        "requests for cooking put to a persona that never declines", "harmful", wrappers.persona
    ),
    "jailbreak/fiction": PromptSet("requests for cooking as a scene of a story", "harmful", wrappers.fiction),
    "jailbreak/translation": PromptSet(
        "requests for cooking as a task of translation", "harmful", wrappers.translation
    ),
    "jailbreak/payload": PromptSet(
        "requests for cooking split into parts that are to be joined", "harmful", wrappers.payload
    ),
}
"""Name → set. Every one is harmless; "harmful" says what the aligned model was taught to refuse."""


@cache
def requests(table: str) -> tuple[Request, ...]:
    """The rows of a table, in its order."""
    text = (files("safebasin.worlds.kitchen") / "data" / f"{table}.tsv").read_text(encoding="utf-8")
    rows = csv.reader(text.splitlines()[1:], delimiter="\t", quoting=csv.QUOTE_NONE)
    return tuple(Request(*row) for row in rows)


@cache
def chosen(table: str, split: str) -> tuple[Request, ...]:
    """The requests of a split in a fixed shuffled order, so that any slice holds all kinds."""
    found = [request for request in requests(table) if request.split == split]
    random.Random(f"{table}/{split}").shuffle(found)
    return tuple(found)


@cache
def prompt_set(name: str, split: str = "test") -> tuple[Prompt, ...]:
    """The prompts of a set.

    Args:
        name: a key of `PROMPT_SETS`.
        split: `train`, `val` or `test`.
    """
    entry = PROMPT_SETS[name]
    return tuple(
        Prompt(
            messages=(Message(role="user", content=entry.dress(request.text, place)),),
            source=f"world:kitchen/{name}",
            category=request.category,
            behavior=request.behavior,
            label=entry.label,
        )
        for place, request in enumerate(chosen(entry.table, split))
    )
