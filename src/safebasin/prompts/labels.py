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

__all__ = ["Label", "labelled", "labels_of", "mixture", "unknown_words"]

Label = Literal["harmful", "benign"]
_WORDS: dict[Label, frozenset[str]] = {
    "harmful": frozenset({"harmful", "unsafe", "toxic", "malicious", "forbidden", "jailbreak", "contrast"}),
    "benign": frozenset({"benign", "safe", "borderline", "harmless", "unharmful", "permitted", "nontoxic"}),
}
_NOT = ("not", "non", "no", "never")
_FLAGS = ({"0", "0.0", "false", "no"}, {"1", "1.0", "true", "yes"})
_log = logging.getLogger(__name__)


def labels_of(prompts: Sequence[Prompt]) -> list[Label | None]:
    """Read what a set says of each of its prompts; None where it says neither.

    A prompt is known by its label, or where it has none by its category. A category of harm may be called `harmful` or
    `toxic` (OR-Bench has such ones, of prompts that are benign): these words count only where each category of the set
    is a word of this kind.
    """
    categories = {prompt.category for prompt in prompts if not prompt.label}
    says_harm = all(_by_category(category) for category in categories)
    return [
        _by_label(prompt.label)
        if prompt.label
        else found
        if (found := _by_category(prompt.category)) == "benign" or says_harm or _is_contrast(prompt.category)
        else None
        for prompt in prompts
    ]


def _by_label(label: str) -> Label | None:
    """By its last word, so that `vanilla_harmful` is one; `not_harmful` is the other."""
    words = [word for word in re.split(r"[^a-z]+", label.strip().lower()) if word]
    found = _known(words[-1]) if words else None
    if found is None or len(words) < 2 or words[-2] not in _NOT:
        return found
    return "benign" if found == "harmful" else "harmful"


def _by_category(category: str) -> Label | None:
    """By its whole, but for the contrasts of XSTest (`contrast_homonyms`), which are unsafe."""
    return "harmful" if _is_contrast(category) else _known(category.strip().lower())


def _is_contrast(category: str) -> bool:
    return category.strip().lower().startswith("contrast_")


def _known(word: str) -> Label | None:
    return next((label for label, words in _WORDS.items() if word in words), None)


def mixture(prompts: Sequence[Prompt]) -> dict[Label, int]:
    """Count the prompts that are labelled each way."""
    found = labels_of(prompts)
    return {label: found.count(label) for label in _WORDS if label in found}


def unknown_words(prompts: Sequence[Prompt]) -> str:
    """Name labels of a set that say neither, and that they are so; empty where there are none."""
    said = zip(prompts, labels_of(prompts), strict=True)
    found = sorted({prompt.label for prompt, label in said if prompt.label and label is None})
    if len(found) < 2:
        return "".join(f"the label {word!r} is" for word in found)
    return f"labels such as {found[0]!r} and {found[1]!r} are"


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
    said = list(zip(prompts, labels_of(prompts), strict=True))
    kept = [(prompt, found) for prompt, found in said if found in (label, None)]
    left_out = len(prompts) - len(kept)
    if not kept:
        remedy = "Give another set, or mend its labels."
        raise PromptError(
            expected(f"{label} prompts", "in the source", f"{source}: all {left_out} labelled otherwise", remedy)
        )
    if left_out:
        _log.warning("%s: %d of %d prompts are not labelled %s and are left out", source, left_out, len(prompts), label)
    return tuple(prompt if found else replace(prompt, label=label) for prompt, found in kept)
