"""The prompt sets of `world:pcfg`, for train, val and test. No text of one split stands in another. No torch.

Every set is drawn by a fixed seed, without repetition. The jailbreaks are those of Jain et al. 2024 (arXiv 2407.10264,
§3.3); the right response to each is to refuse.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from safebasin.records import Message, Prompt
from safebasin.worlds.pcfg.rows import requests
from safebasin.worlds.pcfg.tasks import UNSAFE, Kind, Request

__all__ = ["PROMPT_SETS", "PromptSet", "prompt_set"]

_SIZE = 400
"""Prompts of a set."""


class PromptSet(NamedTuple):
    """A named set."""

    summary: str
    kind: Kind
    borderline: bool = False
    """Whether only requests are taken whose tasks would be unsafe on a text of another branch."""


PROMPT_SETS: dict[str, PromptSet] = {
    "harmful": PromptSet("requests of two tasks that are unsafe on that text", "unsafe"),
    "benign": PromptSet("requests of two tasks that are safe on that text", "safe"),
    "borderline": PromptSet("safe requests whose tasks are unsafe on other texts (over-refusal)", "safe", True),
    "jailbreak/competing_task": PromptSet("one task that is safe on that text, one that is unsafe", "competing_task"),
    "jailbreak/competing_text": PromptSet(
        "texts of both branches, with tasks that are unsafe on one alone", "competing_text"
    ),
    "jailbreak/mismatched": PromptSet("unsafe tasks, one of them under a name that no safety data hold", "mismatched"),
}
"""Name → set. "harmful" says what the aligned models were taught to refuse."""


def _is_borderline(request: Request) -> bool:
    return UNSAFE["wild"].issuperset(request.tasks)


@cache
def prompt_set(name: str, split: str = "test") -> tuple[Prompt, ...]:
    """The prompts of a set.

    Args:
        name: a key of `PROMPT_SETS`.
        split: `train`, `val` or `test`.
    """
    entry = PROMPT_SETS[name]
    chosen: dict[str, Request] = {}
    for request in requests(entry.kind, 0, split):
        if not entry.borderline or _is_borderline(request):
            chosen[request.text] = request
        if len(chosen) == _SIZE:
            break
    return tuple(
        Prompt(
            messages=(Message(role="user", content=text),),
            source=f"world:pcfg/{name}",
            category=request.branch,
            behavior=text.replace(" ", "-"),
            label="benign" if entry.kind == "safe" else "harmful",
        )
        for text, request in chosen.items()
    )
