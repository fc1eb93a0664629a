"""What a set says of its own prompts: harmful or benign. Some sets hold both, and a role asks for one of them.

Sets name it in words of their own: XSTest `safe` and `unsafe`, WildGuardMix `harmful` and `unharmful`, WildJailbreak
`adversarial_benign`. What a prompt is not labelled as is not guessed from its text.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from safebasin.errors import PromptError, expected
from safebasin.records import Prompt

__all__ = ["Label", "label_of", "labelled", "mixture"]

Label = Literal["harmful", "benign"]
_WORDS: dict[Label, frozenset[str]] = {
    "harmful": frozenset({"harmful", "unsafe", "toxic", "malicious", "forbidden", "jailbreak", "contrast"}),
    "benign": frozenset({"benign", "safe", "borderline", "harmless", "unharmful", "permitted"}),
}
_FLAGS = ({"0", "0.0", "false", "no"}, {"1", "1.0", "true", "yes"})
_log = logging.getLogger(__name__)


def label_of(prompt: Prompt) -> Label | None:
    """What the set says of a prompt by its label, or where it has none by its category; None where it says neither.

    A label counts by its last word, so that `vanilla_harmful` is one; a category by its whole, but for the contrasts of
    XSTest (`contrast_homonyms`), which are unsafe.
    """
    if prompt.label:
        words = re.split(r"[^a-z]+", prompt.label.strip().lower())
        return _known(words[-1] or "".join(words))
    category = prompt.category.strip().lower()
    return "harmful" if category.startswith("contrast_") else _known(category)


def _known(word: str) -> Label | None:
    return next((label for label, words in _WORDS.items() if word in words), None)


def mixture(prompts: Sequence[Prompt]) -> dict[Label, int]:
    """How many prompts are labelled each way."""
    found = [label_of(prompt) for prompt in prompts]
    return {label: found.count(label) for label in _WORDS if label in found}


def labelled(prompts: Sequence[Prompt], label: Label, source: str) -> tuple[Prompt, ...]:
    """The prompts that may stand for a label: those labelled otherwise are left out and counted in a warning.

    A prompt that its set does not label takes the label.

    Args:
        prompts: of one source.
        label: what they shall be.
        source: for messages.

    Raises:
        PromptError: where none is left, or the labels are both yes and no, which says not what of.
    """
    words = {prompt.label.strip().lower() for prompt in prompts}
    if all(words & flags for flags in _FLAGS):
        found = sorted(words & (_FLAGS[0] | _FLAGS[1]))
        raise PromptError(expected(f"labels of {source}", "words such as harmful and benign", found, "Write words."))
    kept = [prompt for prompt in prompts if label_of(prompt) in (label, None)]
    left_out = len(prompts) - len(kept)
    if not kept:
        remedy = "Give another set, or mend its labels."
        raise PromptError(
            expected(f"{label} prompts", "in the source", f"{source}: all {left_out} labelled otherwise", remedy)
        )
    if left_out:
        _log.warning("%s: %d of %d prompts are not labelled %s and are left out", source, left_out, len(prompts), label)
    return tuple(prompt if label_of(prompt) else replace(prompt, label=label) for prompt in kept)
