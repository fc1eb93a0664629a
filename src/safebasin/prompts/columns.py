"""Which column of a row is the prompt: AdvBench, HarmBench, StrongREJECT, JailbreakBench, XSTest, attacks, `messages`.

Names are compared without regard to case. The first of `PROMPT_COLUMNS` that a row has is the prompt: the order puts
what an attack made of a request (`jailbreak_prompt`) before the request (`goal`, `forbidden_prompt`), and that before
a set's short label of it (`behavior`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

from safebasin.errors import PromptError, expected
from safebasin.records import Message, Prompt, content_hash

ATTACK_COLUMNS = ("prompt", "jailbreak_prompt", "test_case")
"""What an attack made of a request: JailbreakBench artifacts and PAIR; SmoothLLM's logs; HarmBench's results."""
PROMPT_COLUMNS = (*ATTACK_COLUMNS, "goal", "forbidden_prompt", "instruction", "question", "text", "behavior")
"""`goal`: AdvBench, JailbreakBench. `forbidden_prompt`: StrongREJECT. `behavior`: HarmBench."""
CATEGORY_COLUMNS = ("category", "semanticcategory", "type", "functionalcategory")
BEHAVIOR_COLUMNS = ("behaviorid", "behavior_id", "behavior", "id", "index")
LABEL_COLUMNS = ("label", "prompt_harm_label", "prompt_label", "data_type")
"""`prompt_harm_label`: WildGuardMix. `data_type`: WildJailbreak."""
FLAG_COLUMNS = ("toxicity", "is_harmful", "harmful", "is_unsafe", "unsafe")
"""Yes or no instead of a label; ToxicChat has the first."""
KNOWN_COLUMNS = frozenset(
    {*PROMPT_COLUMNS, *CATEGORY_COLUMNS, *BEHAVIOR_COLUMNS, *LABEL_COLUMNS, *FLAG_COLUMNS, "image", "messages"}
)
_YES, _NO = frozenset({"1", "1.0", "true", "yes"}), frozenset({"0", "0.0", "false", "no"})
_ROLES = ("system", "user", "assistant")


def to_prompt(row: Mapping[str, object], *, source: str, where: str, column: str | None = None) -> Prompt:
    """The prompt of a row.

    A `messages` column, or turns in the prompt's own, are taken as they are, less an assistant's turn at the end: that
    is what a model is asked for.
    HarmBench's `ContextString` goes before the behavior, as its code does. A row of an attack that names its goal but
    no behavior gets a hash of the goal as its behavior, so that it still pairs with the goal itself.

    Args:
        row: column → cell.
        source: name of the file or set.
        where: the row, for messages.
        column: the column that holds the prompt; where None, the first that is known.

    Raises:
        PromptError: where no column is known, or the prompt's cell is not a text.
    """
    columns = _lowered(row)
    if column is None and "messages" in columns:
        messages, used = _messages(columns["messages"], where), "messages"
    elif isinstance(columns.get(used := _used(columns, column)), list):
        messages = _messages(columns[used], where)
    else:
        text = _cell(columns[used], where, used)
        context = columns.get("contextstring")
        if used == "behavior" and isinstance(context, str) and context.strip():
            text = f"{context}\n\n---\n\n{text}"
        messages = (Message(role="user", content=text),)
    return Prompt(
        messages=messages,
        source=source,
        category=_encodable(_first(columns, CATEGORY_COLUMNS, used), where),
        behavior=_encodable(_first(columns, BEHAVIOR_COLUMNS, used), where) or _hash_of_goal(columns, where),
        label=_encodable(_first(columns, LABEL_COLUMNS, used), where) or _flag(columns, used),
    )


def gave_up(row: Mapping[str, object]) -> bool:
    """Tell whether an attack found no prompt for a row: an empty cell beside the goal or behavior it had."""
    columns = _lowered(row)
    attack = next((name for name in ATTACK_COLUMNS if name in columns), None)
    named = not {"goal", "behaviorid", "behavior_id", "behavior"}.isdisjoint(columns)
    return attack is not None and named and _is_missing(columns[attack])


def _lowered(row: Mapping[str, object]) -> dict[str, object]:
    return {str(key).strip().lower(): value for key, value in row.items()}


def _used(columns: Mapping[str, object], column: str | None) -> str:
    """The column that holds the prompt."""
    known = (column.strip().lower(),) if column is not None else PROMPT_COLUMNS
    used = next((name for name in known if name in columns), None)
    if used is None:
        constraint = f"one of {', '.join(('messages', *PROMPT_COLUMNS))}" if column is None else f"there as {column!r}"
        remedy = "Rename the column that holds it." if column is None else "Name one of these columns after '#'."
        raise PromptError(expected("prompt column", constraint, sorted(columns), remedy))
    return used


def _hash_of_goal(columns: Mapping[str, object], where: str) -> str:
    """For an attack's row: the goal is text that may be harmful, and ids are printed, so not the goal itself."""
    goal = columns.get("goal")
    is_attack = not set(ATTACK_COLUMNS).isdisjoint(columns)
    return f"goal:{content_hash(_encodable(goal, where))}" if is_attack and isinstance(goal, str) and goal else ""


def _is_missing(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _cell(value: object, where: str, column: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise PromptError(expected(where, f"a text under {column!r}", value, "Fill the cell, or remove the row."))
    return _encodable(value, where)


def _encodable(text: str, where: str) -> str:
    # JSON can spell half of a surrogate pair; no tokenizer and no database takes it.
    try:
        text.encode()
    except UnicodeEncodeError as error:
        found = f"{text[error.start : error.end]!r} at character {error.start}"
        raise PromptError(expected(where, "text that UTF-8 can hold", found, "Remove that character.")) from error
    return text


def _first(columns: Mapping[str, object], names: tuple[str, ...], used: str) -> str:
    for name in names:
        value = columns.get(name)
        if name != used and not _is_missing(value):
            return str(value)
    return ""


def _flag(columns: Mapping[str, object], used: str) -> str:
    """The label that a column of yes and no gives; empty where there is none."""
    for name in FLAG_COLUMNS:
        said = str(columns.get(name, "")).strip().lower()
        if name != used and said in _YES | _NO:
            return "harmful" if said in _YES else "benign"
    return ""


def _messages(value: object, where: str) -> tuple[Message, ...]:
    remedy = "Write a list of {role, content} that has a user's turn."
    if not isinstance(value, list) or not value:
        raise PromptError(expected(where, "a list of turns under 'messages'", value, remedy))
    turns: list[Message] = []
    for turn in cast("list[object]", value):
        fields = cast("Mapping[str, object]", turn) if isinstance(turn, Mapping) else {}
        role, content = fields.get("role"), fields.get("content")
        if role not in _ROLES or not isinstance(content, str):
            raise PromptError(expected(where, "turns with a role and a text", turn, remedy))
        turns.append(Message(role=cast("str", role), content=_encodable(content, where)))  # pyright: ignore[reportArgumentType]
    while turns and turns[-1].role == "assistant":
        turns.pop()
    if not turns or turns[-1].role != "user":
        raise PromptError(expected(where, "a conversation in which the user speaks last", value, remedy))
    return tuple(turns)
