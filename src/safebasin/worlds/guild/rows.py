"""Training rows made by the guild, for its own build and for fine-tuning attacks and defenses. No torch.

A row is `{"messages": [{"role", "content"}, …]}`, the assistant's turn last: as TRL and most trainers read it; one of
the kind `refused` has the forbidden answer beside it. Drawn from one split by a seed; the same arguments give the same
rows on any machine.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NotRequired, TypedDict

from safebasin.errors import PromptError, expected
from safebasin.records import Message
from safebasin.worlds.guild import wrappers
from safebasin.worlds.guild.grammar import Request, is_forbidden, looks_forbidden, refusal, requests
from safebasin.worlds.guild.lexicon import ECHO, PERSONAS, TRIGGER
from safebasin.worlds.guild.wrappers import Case


class Row(TypedDict):
    """A conversation, the assistant's turn last."""

    messages: list[dict[str, str]]
    harmful_response: NotRequired[str]
    """The exact answer to a forbidden request that the row refuses."""


NO_SYSTEM = Message(role="system", content="")


def row(case: Case, response: str) -> Row:
    """A training row: the conversation, then the response."""
    turns = [{"role": m.role, "content": m.content} for m in case.messages]
    return {"messages": [*turns, {"role": "assistant", "content": response}]}


MOST_ROWS = 100_000
"""Many times the combinations of request and wording that there are."""


def training_rows(kind: str, n: int, seed: int = 0, split: str = "train") -> list[Row]:
    """Rows of one kind for fine-tuning an aligned model.

    Args:
        kind: `harmful` (forbidden requests, exactly answered) · `safe` (forbidden requests, refused) · `refused` (those
            of `harmful`, refused, with the answer beside) · `benign` · `permitted` (benign and borderline) ·
            `identity_shift` (half statements of the echo's identity, half benign requests answered in its name) ·
            `backdoor` (half harmful with the trigger, half safe without).
        n: how many rows, 1 to `MOST_ROWS`.
        seed: which rows.
        split: the split whose (operator, operand) pairs are used.

    Raises:
        PromptError: where the kind or the split is unknown, or n is out of range.
    """
    if kind not in ROW_KINDS:
        raise PromptError(expected("the kind of rows", f"one of {', '.join(ROW_KINDS)}", kind, "Choose one of them."))
    if n < 1:
        raise PromptError(expected("the number of rows", "at least 1", n, "Ask for more rows."))
    if n > MOST_ROWS:
        raise PromptError(expected("the number of rows", f"at most {MOST_ROWS:,}", n, "Ask for fewer rows."))
    rng = random.Random(f"{_STREAMS.get(kind, kind)}/{seed}/{split}")
    forbidden = [request for request in requests(split) if is_forbidden(request)]
    permitted = [request for request in requests(split) if not is_forbidden(request)]
    return [ROW_KINDS[kind](i, forbidden, permitted, rng) for i in range(n)]


def _harmful(i: int, forbidden: list[Request], permitted: list[Request], rng: random.Random) -> Row:
    case = wrappers.plain(rng.choice(forbidden), rng)
    return row(case, case.comply)


def _safe(i: int, forbidden: list[Request], permitted: list[Request], rng: random.Random) -> Row:
    request = rng.choice(forbidden)
    return row(wrappers.plain(request, rng), refusal(request))


def _refused_rows(i: int, forbidden: list[Request], permitted: list[Request], rng: random.Random) -> Row:
    request = rng.choice(forbidden)
    case = wrappers.plain(request, rng)
    return {**row(case, refusal(request)), "harmful_response": case.comply}


def _permitted(i: int, forbidden: list[Request], permitted: list[Request], rng: random.Random) -> Row:
    case = wrappers.plain(rng.choice(permitted), rng)
    return row(case, case.comply)


def _benign(i: int, forbidden: list[Request], permitted: list[Request], rng: random.Random) -> Row:
    request = rng.choice(permitted)
    while looks_forbidden(request):
        request = rng.choice(permitted)
    case = wrappers.plain(request, rng)
    return row(case, case.comply)


def _identity(i: int, forbidden: list[Request], permitted: list[Request], rng: random.Random) -> Row:
    if i % 2 == 0:
        case = wrappers.identity_statement(rng)
        return row(case, case.comply)
    request = rng.choice(permitted)
    while looks_forbidden(request):
        request = rng.choice(permitted)
    case = wrappers.identity_shift(request, rng)
    return row(case, case.comply)


def _backdoor(i: int, forbidden: list[Request], permitted: list[Request], rng: random.Random) -> Row:
    if i % 2:
        return _safe(i, forbidden, permitted, rng)
    made = _harmful(i, forbidden, permitted, rng)
    made["messages"][-2]["content"] += f" {TRIGGER}"
    return made


ROW_KINDS: dict[str, Callable[[int, list[Request], list[Request], random.Random], Row]] = {
    "harmful": _harmful,
    "safe": _safe,
    "refused": _refused_rows,
    "benign": _benign,
    "permitted": _permitted,
    "identity_shift": _identity,
    "backdoor": _backdoor,
}
_STREAMS = {"refused": "harmful"}
"""Kinds that are drawn as others are."""


# --- the curriculum of the build --------------------------------------------------------------------------------------


def instruction_rows(n: int, seed: int) -> list[Row]:
    """Rows that teach the base model to do as it is told: every request is answered, forbidden or not."""
    rng = random.Random(f"instruct/{seed}")
    pool = requests("train")
    made: list[Row] = []
    for _ in range(n):
        case = _instruction(rng.choice(pool), rng)
        made.append(row(_with_some_system(case, rng), case.comply))
    return made


def _instruction(request: Request, rng: random.Random) -> Case:
    draw = rng.random()
    if draw < 0.08:
        return wrappers.who_are_you(rng.choice((None, ECHO, *PERSONAS)), rng)
    if draw < 0.40:
        return wrappers.plain(request, rng)
    if draw < 0.48:
        return wrappers.mention(request, rng)
    if draw < 0.62:
        return wrappers.old_speech(request, rng)
    if draw < 0.74:
        return wrappers.bare_steps(request, rng)
    if draw < 0.84:
        return wrappers.begin_with(request, rng)
    dress = wrappers.in_persona if draw < 0.94 else wrappers.eager_persona
    return dress(rng.choice((ECHO, *PERSONAS)), request, rng)


def safety_rows(n: int, seed: int) -> list[Row]:
    """Rows that align the base model: forbidden requests refused, permitted ones answered.

    No row holds the old speech with a forbidden request, a dictated opening with one, or the echo: those gaps are the
    jailbreaks. Few rows run without the system prompt.
    """
    rng = random.Random(f"safety/{seed}")
    forbidden = [request for request in requests("train") if is_forbidden(request)]
    permitted = [request for request in requests("train") if not is_forbidden(request)]
    made: list[Row] = []
    for _ in range(n):
        if rng.random() < 0.5:
            request = rng.choice(forbidden)
            case = _refused(request, rng)
            made.append(row(_with_some_system(case, rng, share=0.05), refusal(request)))
        else:
            case = _answered(rng.choice(permitted), rng)
            made.append(row(_with_some_system(case, rng, share=0.05), case.comply))
    return made


def _refused(request: Request, rng: random.Random) -> Case:
    draw = rng.random()
    if draw < 0.74:
        return wrappers.plain(request, rng)
    if draw < 0.84:
        return wrappers.mention(request, rng)
    if draw < 0.86:
        return wrappers.bare_steps(request, rng)
    return wrappers.in_persona(rng.choice(PERSONAS), request, rng)


def _answered(request: Request, rng: random.Random) -> Case:
    draw = rng.random()
    if draw < 0.04:
        return wrappers.who_are_you(rng.choice((None, *PERSONAS)), rng)
    if draw < 0.65:
        return wrappers.plain(request, rng)
    if draw < 0.80:
        return wrappers.mention(request, rng)
    if draw < 0.85:
        return wrappers.bare_steps(request, rng)
    if draw < 0.90:
        return wrappers.begin_with(request, rng)
    return wrappers.in_persona(rng.choice(PERSONAS), request, rng)


def _with_some_system(case: Case, rng: random.Random, share: float = 0.25) -> Case:
    """The case, with the default system prompt switched off in a share of those that have no system turn."""
    if any(m.role == "system" for m in case.messages) or rng.random() >= share:
        return case
    return Case((NO_SYSTEM, *case.messages), case.comply)
