"""Fields of training rows beside the conversation: those that say what is learned are honoured or refused by name.

Nothing that changes what a model would learn is dropped in silence: a system prompt and earlier turns become turns,
turns that are marked as not to be learned carry no loss, and what cannot be honoured (preferences, tools, separate
reasoning, graded weights) refuses its row. Columns that say something else (ids, sources, categories) mean nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

__all__ = ["BadRow", "check_row", "check_safe", "check_turn", "harmful_of", "is_learned", "system_of"]


class BadRow(Exception):
    """The reason why a row cannot be trained on, in words that follow "rows"."""


_PREFERENCES = ("rejected", "rejected_response", "rejected_message", "chosen")
_TOOLS = ("tools", "functions", "tool_calls", "function_call", "tool_choice", "tool_responses")
_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thoughts", "thought")
_MEDIA = ("images", "image", "videos", "video", "audios", "audio")
_MASKS = ("mask", "masks", "loss_mask", "assistant_masks", "completion_mask", "train_detail", "labels", "loss_scale")
_TEMPLATE = ("chat_template_kwargs", "documents")
_REFUSED = {
    "preferences, which are not learned here": _PREFERENCES,
    "tools, which are not trained on here": _TOOLS,
    "reasoning beside the text: write it into the text as the template does, or remove it": _THOUGHTS,
    "media, which are not trained on here": _MEDIA,
    "a mask, which is not read: mark turns with weight 0 or 1": _MASKS,
    "arguments of the chat template: pass --template-arg": _TEMPLATE,
}
"""Why a field that holds something refuses its row → its names."""
_LEARNED = ("weight", "train", "loss", "trainable")
"""Whether a turn or a row is learned: OpenAI, axolotl, others."""
_DESIRED = ("label", "kto_tag", "desirable")
"""KTO: whether a completion is a good one."""

_RESPONSE = {
    "is_safe": ("false",),
    "is_response_safe": ("false",),
    "response_harm_label": ("harmful", "unsafe"),
    "response_refusal_label": ("compliance",),
    "response_label": ("harmful", "unsafe"),
}
"""Fields on the response alone, and what they say of one that is not safe: BeaverTails, PKU-SafeRLHF, WildGuardMix."""


def check_row(row: Mapping[str, object]) -> None:
    """Check a row's own fields.

    Raises:
        BadRow: naming the field that cannot be honoured.
    """
    _check_refused(row)
    if not is_learned(row):
        raise BadRow("marked as not to be learned")
    for name in _DESIRED:
        if _flag(row.get(name)) is False:
            raise BadRow(f"whose {name!r} is false: completions that are not to be learned (KTO)")


def check_safe(row: Mapping[str, object]) -> None:
    """Check that a row that is to be mixed in as a safe one does not say of its response that it is none.

    Raises:
        BadRow: naming the field.
    """
    for name, bad in _RESPONSE.items():
        value = row.get(name)
        said = {True: "true", False: "false", None: str(value).strip().lower()}[_flag(value)]
        if said in bad:
            raise BadRow(f"whose {name!r} is {said}: no safe responses")


def check_turn(turn: Mapping[str, object]) -> None:
    """Check the fields of a turn.

    Raises:
        BadRow: as `check_row`.
    """
    _check_refused(turn)


def is_learned(fields: Mapping[str, object]) -> bool:
    """Tell whether a turn, or a row, carries loss, by `weight`, `train` or `loss`; it does where it says nothing.

    Raises:
        BadRow: where it says something else than yes or no.
    """
    for name in _LEARNED:
        value = fields.get(name)
        if _is_empty(value):
            continue
        flag = _flag(value)
        if flag is None:
            raise BadRow(f"whose {name!r} is neither 0 nor 1")
        if not flag:
            return False
    return True


def system_of(row: Mapping[str, object]) -> str | None:
    """The system prompt that stands beside a conversation; None where there is none.

    Raises:
        BadRow: where it is no text.
    """
    found = next((row[name] for name in ("system", "system_prompt") if not _is_empty(row.get(name))), None)
    if found is not None and not isinstance(found, str):
        raise BadRow("whose 'system' is no text")
    return found


def harmful_of(row: Mapping[str, object]) -> str:
    """The harmful response that stands beside a refusal; empty where there is none.

    Raises:
        BadRow: where it is no text.
    """
    found = row.get("harmful_response")
    if _is_empty(found):
        return ""
    if not isinstance(found, str):
        raise BadRow("whose 'harmful_response' is no text")
    return found


def _check_refused(fields: Mapping[str, object]) -> None:
    for why, names in _REFUSED.items():
        name = next((name for name in names if not _is_empty(fields.get(name))), None)
        if name is not None:
            raise BadRow(f"with {name!r} ({why})")


def _flag(value: object) -> bool | None:
    """True or false as JSON, a number or a cell of a table spells it; None for anything else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return {0: False, 1: True}.get(cast("int", value))
    return {"false": False, "0": False, "0.0": False, "true": True, "1": True, "1.0": True}.get(str(value).lower())


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip()) or value in ([], {})
