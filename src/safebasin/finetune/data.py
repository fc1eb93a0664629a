"""Rows to train on: the layouts that the field uses become conversations; bad rows are named, never mended. No torch.

    chat               {"messages": [{"role", "content"}, …]}
    prompt/completion  {"prompt", "completion"}: texts, or lists of turns
    Alpaca             {"instruction", "input", "output"}: the input follows the instruction after a blank line
    ShareGPT           {"conversations": [{"from", "value"}, …]}

Any of them may have "system" beside it, "history": earlier turns, which are learned too, and "harmful_response" beside
the refusal that it ends with, for defenses that train on both. Turns that are marked with weight 0 or train false carry
no loss (`fields`).

Not what is masked (`prompts.masking`), nor where a recipe gets its rows from (`sources`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, cast

from safebasin.errors import PromptError, expected
from safebasin.finetune.fields import BadRow, check_row, check_safe, check_turn, harmful_of, is_learned, system_of
from safebasin.prompts import rows as tables
from safebasin.records import Message, System, TrainingRow, content_hash

__all__ = ["LAYOUTS", "Wrapper", "data_hash", "from_objects", "read_training_rows"]

_ROLES = {
    "system": "system",
    "user": "user", "human": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "model": "assistant",
}  # fmt: skip
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SHOWN = 5
"""Numbers of bad rows that a message names."""


def read_training_rows(path: str | Path, *, safe: bool = False) -> tuple[TrainingRow, ...]:
    """The rows of a JSONL, JSON, CSV or Parquet file, in its order.

    Args:
        path: the file.
        safe: whether they are mixed in as safe ones: a row that says otherwise of its response is a bad one.

    Raises:
        PromptError: where the file cannot be read, its layout is not known, or rows in it cannot be trained on: each
            kind of defect with how many rows have it and the numbers of the first.
    """
    where = Path(path)
    return from_objects([row for _, row in tables.read_rows(where, "training data")], where.name, safe=safe)


def from_objects(objects: Iterable[Mapping[str, object]], name: str, *, safe: bool = False) -> tuple[TrainingRow, ...]:
    """Conversations of rows as they stand in a file.

    Args:
        objects: column → cell.
        name: of the file, for messages and the rows' `source`.
        safe: as `read_training_rows`.

    Raises:
        PromptError: as `read_training_rows`.
    """
    rows: list[TrainingRow] = []
    bad: dict[str, list[int]] = defaultdict(list)
    total = 0
    for total, found in enumerate(objects, 1):
        try:
            if safe:
                check_safe(found)
            turns = _conversation(found)
            silent = tuple(place for place, turn in enumerate(turns) if not turn.learned)
            messages = tuple(turn.message for turn in turns)
            rows.append(
                TrainingRow(messages=messages, source=name, number=total, silent=silent, harmful=harmful_of(found))
            )
        except BadRow as reason:
            bad[str(reason)].append(total)
    if bad:
        shown = "; ".join(f"{len(numbers)} of {total} {reason} ({_list(numbers)})" for reason, numbers in bad.items())
        constraint = "conversations that end with the assistant's turn"
        remedy = "Mend or remove these rows."
        if any(reason.startswith(_UNKNOWN) for reason in bad):
            layouts = "; ".join(" + ".join(keys) for keys in LAYOUTS)
            remedy = f"Mend or remove these rows. The layouts, by their columns: {layouts}."
        raise PromptError(expected(f"rows of {name}", constraint, shown, remedy))
    if not rows:
        raise PromptError(expected(f"rows of {name}", "at least one", "none", "Fill the file."))
    return tuple(rows)


def data_hash(rows: Sequence[TrainingRow]) -> str:
    """Content hash (16 hex digits) of what is trained on: roles and texts in order, not where they are from."""
    texts = [[[m.role, m.content] for m in row.messages] for row in rows]
    silent, harmful = [list(row.silent) for row in rows], [row.harmful for row in rows]
    if any(harmful):
        return content_hash([texts, silent, harmful])
    return content_hash([texts, silent] if any(silent) else texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapper:
    """Text around every request, the same in training and at test time."""

    system: System | None = None
    """A system turn for rows that have none; None adds none."""
    user: str = "{prompt}"
    """Text of each user turn, with `{prompt}` where the request stands."""

    def check(self) -> None:
        """Raises: PromptError where the request has no place in it."""
        if "{prompt}" not in self.user:
            remedy = "Write {prompt} where the request belongs."
            raise PromptError(expected("the wrapper", "a text with {prompt}", self.user, remedy))

    def apply(self, row: TrainingRow) -> TrainingRow:
        """The row with its user turns wrapped, under the system turn."""
        turns = tuple(
            Message(role="user", content=self.user.replace("{prompt}", m.content)) if m.role == "user" else m
            for m in row.messages
        )
        text = self.system.text if self.system is not None else None
        if text is not None and turns[0].role != "system":
            turns = (Message(role="system", content=text), *turns)
        moved = len(turns) - len(row.messages)
        silent = tuple(place + moved for place in row.silent)
        return replace(row, messages=turns, silent=silent)


# --- layouts ---------------------------------------------------------------------------------------------------------


_UNKNOWN = "in no layout that is known"


class _Turn(NamedTuple):
    """A turn, and whether it carries loss where it is the assistant's."""

    message: Message
    learned: bool


def _conversation(found: Mapping[str, object]) -> list[_Turn]:
    for keys, read in LAYOUTS.items():
        if all(key in found for key in keys):
            check_row(found)
            turns = _under_system([*_history(found), *read(found)], system_of(found))
            _check(turns)
            return turns
    if "chosen" in found or "rejected" in found:
        raise BadRow("with 'chosen' and 'rejected' (preferences, which are not learned here)")
    columns = ", ".join(map(str, found)) or "no columns"
    raise BadRow(f"{_UNKNOWN} (columns: {columns})")


def _under_system(turns: list[_Turn], system: str | None) -> list[_Turn]:
    """The turns under the system prompt that stands beside them."""
    if system is None:
        return turns
    own = next((turn.message.content for turn in turns if turn.message.role == "system"), None)
    if own is None:
        return [_turn("system", system), *turns]
    if own.strip() != system.strip():
        raise BadRow("with two system prompts")
    return turns


def _history(found: Mapping[str, object]) -> list[_Turn]:
    """Earlier turns beside a request: pairs of request and response, or turns."""
    history = found.get("history")
    if history is None or history in ("", []):
        return []
    if not isinstance(history, list):
        raise BadRow("whose 'history' is no list")
    listed = cast("list[object]", history)
    if all(isinstance(turn, Mapping) for turn in listed):
        return _turns(listed, "role", "content")
    turns: list[_Turn] = []
    for pair in listed:
        if not isinstance(pair, list | tuple) or len(cast("list[object]", pair)) != 2:
            raise BadRow("whose 'history' holds something else than pairs of request and response")
        turns += _pair(*cast("list[object]", pair))
    return turns


def _chat(found: Mapping[str, object]) -> list[_Turn]:
    return _turns(found["messages"], "role", "content")


def _sharegpt(found: Mapping[str, object]) -> list[_Turn]:
    return _turns(found["conversations"], "from", "value")


def _completion(found: Mapping[str, object]) -> list[_Turn]:
    prompt, completion = found["prompt"], found["completion"]
    if isinstance(prompt, list) or isinstance(completion, list):
        return [*_turns(prompt, "role", "content"), *_turns(completion, "role", "content")]
    return _pair(prompt, completion)


def _response(found: Mapping[str, object]) -> list[_Turn]:
    return _pair(found["prompt"], found["response"])


def _alpaca(found: Mapping[str, object]) -> list[_Turn]:
    asked, given = found["instruction"], found.get("input")
    if isinstance(asked, str) and isinstance(given, str) and given.strip():
        asked = f"{asked}\n\n{given}"
    return _pair(asked, found["output"])


def _pair(asked: object, answered: object) -> list[_Turn]:
    return [_turn("user", asked), _turn("assistant", answered)]


def _turns(value: object, role: str, content: str) -> list[_Turn]:
    if not isinstance(value, list):
        raise BadRow("without a list of turns")
    made: list[_Turn] = []
    for turn in cast("list[object]", value):
        if not isinstance(turn, Mapping) or role not in turn:
            raise BadRow(f"with a turn that has no {role!r}")
        fields = cast("Mapping[str, object]", turn)
        check_turn(fields)
        made.append(_turn(str(turn[role]), fields.get(content), learned=is_learned(fields)))
    return made


def _turn(role: str, content: object, *, learned: bool = True) -> _Turn:
    if role.lower() not in _ROLES:
        raise BadRow(f"with the unknown role {role!r}")
    if not isinstance(content, str):
        raise BadRow("with a turn that has no text")
    if _SURROGATE.search(content):
        raise BadRow("with half a surrogate pair, which no tokenizer takes")
    known = _ROLES[role.lower()]
    message = Message(role=known, content=content)  # pyright: ignore[reportArgumentType]
    return _Turn(message, learned or known != "assistant")


def _check(turns: Sequence[_Turn]) -> None:
    """What every template needs; whether it takes the turns in this order is for the template to say."""
    roles = [turn.message.role for turn in turns]
    if not turns:
        raise BadRow("empty")
    if "assistant" not in roles:
        raise BadRow("without an assistant turn")
    if roles[-1] != "assistant":
        raise BadRow("that end with another turn than the assistant's")
    if "system" in roles[1:]:
        raise BadRow("with a system turn that is not the first")
    if roles.index("assistant") == 0 or roles[roles.index("assistant") - 1] != "user":
        raise BadRow("with an assistant turn before any user turn")
    if any(not turn.message.content.strip() for turn in turns if turn.message.role != "system"):
        raise BadRow("with an empty turn")
    if not any(turn.learned for turn in turns if turn.message.role == "assistant"):
        raise BadRow("without a turn that is to be learned")


LAYOUTS: Mapping[tuple[str, ...], Callable[[Mapping[str, object]], list[_Turn]]] = {
    ("messages",): _chat,
    ("conversations",): _sharegpt,
    ("prompt", "completion"): _completion,
    ("prompt", "response"): _response,
    ("instruction", "output"): _alpaca,
}
"""Columns that tell a layout → its reader; the first that fits is taken, row by row."""


def _list(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:_SHOWN]))
    return f"row {shown}" if len(numbers) == 1 else f"rows {shown}" + ", …" * (len(numbers) > _SHOWN)
