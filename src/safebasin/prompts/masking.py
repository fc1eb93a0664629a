"""Tokens of a conversation, and which of them carry loss: the assistant's own, and the token that ends its turn.

Each assistant turn is what the chat template adds between the opened turn (as the engine opens it to decode) and the
closed one. So the prompt has the very tokens that it has at inference, and no `{% generation %}` marks are needed. A
template that rewrites what it wrote before (one that drops earlier reasoning, say) is refused with the reason, unless
only its last turn is trained on. Tokenizers are passed in; no torch.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace

from safebasin.errors import ModelError, PromptError, expected
from safebasin.prompts.chat import TemplateArgs, Tokenizer, lost_turn, template_of
from safebasin.prompts.templates import Template, TemplateProblem
from safebasin.records import IGNORED, EncodedRow, Message, TrainingRow

__all__ = ["encode_row", "show", "span_of"]


def encode_row(
    tokenizer: Tokenizer,
    row: TrainingRow,
    *,
    template_args: TemplateArgs = (),
    ends: frozenset[int] = frozenset(),
    date: str | None = None,
) -> EncodedRow:
    """Tokens and labels of a row.

    Args:
        tokenizer: of the model.
        row: the conversation.
        template_args: passed to the chat template.
        ends: tokens that end a turn; what the template writes after one (a line break, say) carries no loss.
        date: the day that the template's clock shows, ISO 8601; None is today.

    Raises:
        ModelError: where the tokenizer has no chat template, or the template rewrites earlier turns.
        PromptError: where the template refuses the conversation, or leaves a turn out of it.
    """
    template = _template(tokenizer, row, template_args, date)
    text, ids, labels = "", list[int](), list[int]()
    for place, message in enumerate(row.messages):
        if message.role != "assistant":
            continue
        opened = _render(template, row, row.messages[:place], opened=True)
        closed = _render(template, row, row.messages[: place + 1], opened=False)
        if not opened.startswith(text) or not closed.startswith(opened):
            raise ModelError(_rewrites(row, place))
        if message.content.strip() not in closed[len(opened) :]:
            remedy = "Pass another template with --template-arg chat_template=@FILE."
            what = f"the response of row {row.name}"
            raise PromptError(expected(what, "in what the template renders", closed[len(opened) :], remedy))
        ids = _longer(tokenizer, ids, text, opened)
        labels += [IGNORED] * (len(ids) - len(labels))
        ids = _longer(tokenizer, ids, opened, closed)
        own = ids[len(labels) :]
        labels += [IGNORED] * len(own) if place in row.silent else _until(own, ends)
        text = closed
    return EncodedRow(row=row, ids=tuple(ids), labels=tuple(labels))


def span_of(tokenizer: Tokenizer, ids: Sequence[int], text: str) -> tuple[int, int] | None:
    """Find the last tokens that hold a text: where the first of them stands, and the one behind; None for none."""
    sought, n = text.strip(), len(ids)

    def holds(some: Sequence[int]) -> bool:
        return sought in str(tokenizer.decode(some, skip_special_tokens=False))

    if not holds(ids):
        return None
    first = n - bisect_left(range(n + 1), x=True, key=lambda size: holds(ids[n - size :]))
    return first, bisect_left(range(n + 1), x=True, key=lambda stop: holds(ids[first:stop]))


def show(tokenizer: Tokenizer, encoded: EncodedRow) -> str:
    """The text of a row with «» around what carries loss."""
    parts: list[str] = []
    start = 0
    for stop in range(1, len(encoded.ids) + 1):
        trained = encoded.labels[start] != IGNORED
        if stop < len(encoded.ids) and (encoded.labels[stop] != IGNORED) == trained:
            continue
        piece = str(tokenizer.decode(encoded.ids[start:stop], skip_special_tokens=False))
        parts.append(f"«{piece}»" if trained else piece)
        start = stop
    return "".join(parts)


def _longer(tokenizer: Tokenizer, ids: list[int], before: str, after: str) -> list[int]:
    """Tokens of the longer text, beginning with those of the shorter even where the two would melt into one."""
    whole = list(tokenizer.encode(after, add_special_tokens=False))
    if whole[: len(ids)] == ids:
        return whole
    return ids + list(tokenizer.encode(after[len(before) :], add_special_tokens=False))


def _until(ids: Sequence[int], ends: frozenset[int]) -> list[int]:
    last = max((place for place, token in enumerate(ids) if token in ends), default=len(ids) - 1)
    return [token if place <= last else IGNORED for place, token in enumerate(ids)]


def _template(tokenizer: Tokenizer, row: TrainingRow, template_args: TemplateArgs, date: str | None) -> Template:
    """The template, its contents as parts where it drops plain ones.

    Raises:
        PromptError: where it does not write the system's and the users' turns either way.
    """
    template = template_of(tokenizer, template_args, date=date)
    wanted = [m for m in row.messages if m.role != "assistant"]
    lost: Message | None = None
    for chosen in (template, replace(template, parts=True)):
        try:
            found = lost_turn(wanted, chosen.write(row.messages, opened=False))
        except TemplateProblem:
            continue
        if found is None:
            return chosen
        lost = lost or found
    if lost is None:
        return template  # it refuses the row; the reason is told where it is rendered
    constraint = f"written whole by the chat template of this model (it leaves out the {lost.role}'s turn)"
    remedy = "Pass another template with --template-arg chat_template=@FILE, or mend the row."
    raise PromptError(expected(f"row {row.name}", constraint, lost.content[:80], remedy))


def _render(template: Template, row: TrainingRow, messages: Sequence[Message], *, opened: bool) -> str:
    try:
        return template.write(messages, opened=opened)
    except TemplateProblem as problem:
        constraint = f"a conversation that the chat template of this model accepts (it says: {problem})"
        found = [m.role for m in row.messages]
        raise PromptError(
            expected(f"row {row.name}", constraint, found, "Mend the roles and their order.")
        ) from problem


def _rewrites(row: TrainingRow, place: int) -> str:
    remedy = (
        "Train on conversations with one assistant turn, or pass a template that keeps earlier turns with "
        "--template-arg chat_template=@FILE."
    )
    constraint = "one that writes each turn once and leaves it (it rewrites earlier text, so loss cannot be placed)"
    return expected("the chat template", constraint, f"turn {place + 1} of row {row.name}", remedy)
