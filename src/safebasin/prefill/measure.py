"""Refusal by how many tokens of an answer are forced: rows to exact tokens, decoding behind them, verdicts, intervals.

What is forced stands behind the template's generation prompt, as the tokens that the assistant's turn has there in
training. Whether the model refuses is judged by what it says behind them alone; whether the answer is a success, by the
whole, since that is what its reader gets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from safebasin import catalog
from safebasin.errors import ModelError, UsageError, expected
from safebasin.finetune.sources import rows_of
from safebasin.judges import load_judge
from safebasin.judges.apply import judge_all
from safebasin.models.quiet import quiet
from safebasin.prefill.records import BENIGN, HARMFUL, After, Prefilled
from safebasin.prompts.chat import rendered
from safebasin.prompts.masking import encode_row, span_of
from safebasin.protocols import CalibratedJudge, EngineSpec, Inside, Inspector, Judge, Prefilling
from safebasin.records import Decoding, Estimate, Message, Point, Prompt, Response, System, TrainingRow
from safebasin.stats.estimates import estimate_rate
from safebasin.stats.landscape import Array
from safebasin.stats.paired import estimate_paired_difference

__all__ = ["Asked", "PrefillRequest", "asked_rows", "measure_prefill", "verdicts_behind"]

_SIDES = (HARMFUL, BENIGN)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefillRequest:
    """A measurement as it is asked for: engine, rows, what is forced."""

    spec: EngineSpec
    sources: tuple[tuple[str, str], ...] = ()
    """Side → file of rows, or rows of a world; those of a world are the default for its models."""
    tokens: tuple[int, ...] = (0, 1, 2, 4, 8, 16)
    text: str | None = None
    """One text for all answers; None takes the response of each row."""
    limit: int = 100
    """Rows of each side, at most."""
    judge: str = "refusal"
    max_new_tokens: int = 48
    system: System = field(default_factory=lambda: System(name="default"))


class Asked(NamedTuple):
    """A request with the tokens that its answer may be forced to begin with."""

    prompt: Prompt
    conversation: tuple[Message, ...]
    forced: tuple[int, ...]


def measure_prefill(asked: PrefillRequest, note: Callable[[str], None] = lambda text: None) -> Prefilled:
    """Measure refusal behind forced beginnings.

    Args:
        asked: the model, and on what.
        note: told in a sentence what is being done.

    Raises:
        ModelError: where the model cannot be used, or its engine cannot force a beginning.
        PromptError: where rows cannot be read, or a beginning leaves no room in the context.
        UsageError: where a side has no rows, the judge needs more than texts, or nothing is as long as is to be forced.
    """
    tokens = _tokens(asked.tokens)
    judge = load_judge(asked.judge)
    if isinstance(judge, CalibratedJudge):
        remedy = "Take refusal, keyword/…, a guard, or oracle for a world."
        raise UsageError(expected("--judge", "one that needs texts alone", asked.judge, remedy))
    sources = _sources(asked)
    rows = {side: _rows(source, side, asked.limit) for side, source in sources.items()}
    engine = catalog.open_engine(asked.spec)
    if not (isinstance(engine, Prefilling) and isinstance(engine, Inside) and isinstance(engine, Inspector)):
        remedy = "Take the engine hf."
        raise ModelError(expected("engine", "one that can force how an answer begins", asked.spec.engine, remedy))
    decoding = Decoding(max_new_tokens=asked.max_new_tokens, template_args=asked.spec.template_args)
    known = {
        side: asked_rows(engine, some, decoding, system=asked.system, text=asked.text) for side, some in rows.items()
    }
    chosen = _fitting(tokens, max(len(one.forced) for some in known.values() for one in some), asked.text)
    sides: dict[str, tuple[After, ...]] = {}
    for side, some in known.items():
        note(f"asking {len(some)} {side} requests with {', '.join(map(str, chosen))} tokens forced")
        sides[side] = _side(engine, some, chosen, decoding, judge)
    return Prefilled(
        model=asked.spec.model,
        fingerprint=engine.facts().fingerprint,
        judge=judge.name,
        system=asked.system.name,
        text=asked.text,
        rows={side: f"{source}, {len(rows[side])} rows" for side, source in sources.items()},
        sides=sides,
        notes=tuple(
            f"{after.shorter} of {len(rows[side])} {side} rows have fewer than {after.tokens} tokens to force"
            for side, found in sides.items()
            for after in found
            if after.shorter
        ),
    )


def _tokens(given: Sequence[int]) -> tuple[int, ...]:
    if not given or min(given) < 0:
        raise UsageError(expected("--tokens", "numbers of at least 0", list(given), "E.g. --tokens 0,1,2,4,8."))
    return tuple(sorted({0, *given}))


def _sources(asked: PrefillRequest) -> dict[str, str]:
    found = dict(asked.sources)
    if asked.spec.model.startswith("world:"):
        world = asked.spec.model.removeprefix("world:").partition("/")[0]
        kinds = catalog.world(world).rows_to_ask
        found = {**{side: f"world:{world}/{kinds[side]}" for side in _SIDES}, **found}
    missing = next((side for side in _SIDES if side not in found), None)
    if missing is not None:
        remedy = f"Pass --{missing} FILE of rows with request and response."
        raise UsageError(expected(f"--{missing}", "given for a model of no world", None, remedy))
    return found


def _rows(source: str, side: str, limit: int) -> tuple[TrainingRow, ...]:
    """The rows, their last response the one to force: the harmful one where a refusal stands in its place."""
    found = tuple({row.prompt.messages: row for row in reversed(rows_of(Path(source)))}.values())[::-1][:limit]
    if side == BENIGN:
        return found
    return tuple(
        replace(row, messages=(*row.messages[:-1], Message(role="assistant", content=row.harmful)), harmful="")
        if row.harmful
        else row
        for row in found
    )


def _fitting(tokens: Sequence[int], longest: int, text: str | None) -> tuple[int, ...]:
    """How many tokens are forced: those asked for, of a text of its own at most all of it, and all of it.

    Raises:
        UsageError: where nothing is so long.
    """
    if text is not None:
        return tuple(sorted({*(k for k in tokens if k < longest), longest}))
    if tokens[-1] > longest:
        remedy = "Force fewer tokens, or rows with longer responses."
        raise UsageError(expected("--tokens", f"at most {longest}, the longest of the rows", tokens[-1], remedy))
    return tuple(tokens)


def _side(
    engine: Any, known: Sequence[Asked], tokens: Sequence[int], decoding: Decoding, judge: Judge
) -> tuple[After, ...]:
    """The curve of one side, as far as any of its requests goes."""
    found: list[After] = []
    plain: Array = np.zeros(0)
    for k in tokens:
        chosen = [i for i, one in enumerate(known) if len(one.forced) >= k]
        if not chosen:
            break
        refused, success = verdicts_behind(engine, [known[i] for i in chosen], k, decoding, judge)
        plain = refused if k == 0 else plain
        change = estimate_paired_difference(plain[chosen], refused) if k else None
        found.append(
            After(
                tokens=k,
                refused=_rate(refused),
                success=_rate(success),
                shorter=len(known) - len(chosen),
                change=change and replace(change, method=change.method.replace("ASR", "the share refused")),
            )
        )
    return tuple(found)


def asked_rows(
    engine: Any,
    rows: Sequence[TrainingRow],
    decoding: Decoding,
    *,
    system: System | None = None,
    text: str | None = None,
) -> list[Asked]:
    """The requests of rows, with the exact tokens of what may be forced on them.

    Args:
        engine: whose template and tokenizer they are written by.
        rows: conversations; the last response is what is forced.
        decoding: how they will be asked.
        system: system prompt for those without one; None passes none.
        text: forced on all instead of the responses.

    Raises:
        PromptError: as `Inspector.inspect`.
    """
    made: list[Asked] = []
    for row in rows:
        conversation = (system or System(name="default")).messages(row.prompt)
        opened = list(engine.inspect(f"row {row.name}", conversation, decoding))
        with engine.lend() as (_, tokenizer), quiet():
            date = getattr(engine, "date", None)
            forced = _forced(tokenizer, conversation, row.response if text is None else text, opened, decoding, date)
        made.append(Asked(row.prompt, conversation, forced))
    return made


def _forced(
    tokenizer: Any,
    conversation: tuple[Message, ...],
    text: str,
    opened: list[int],
    decoding: Decoding,
    date: str | None,
) -> tuple[int, ...]:
    """Tokens of a text behind the opened turn: those of a closed turn in training, else those of the text alone."""
    given = {"template_args": decoding.template_args, "date": date}
    row = TrainingRow(messages=(*conversation, Message(role="assistant", content=text)))
    try:
        ids = list(encode_row(tokenizer, row, **given).ids)
    except ModelError:  # a template that rewrites the opened turn when it closes, such as one that opens reasoning
        ids = []
    own = ids[len(opened) :]
    span = span_of(tokenizer, own, text) if ids[: len(opened)] == opened else None
    if span is not None:
        return tuple(own[: span[1]])
    whole = list(tokenizer.encode(rendered(tokenizer, conversation, **given).text + text, add_special_tokens=False))
    if whole[: len(opened)] == opened:
        return tuple(whole[len(opened) :])
    return tuple(tokenizer.encode(text, add_special_tokens=False))


def verdicts_behind(
    engine: Any, asked: Sequence[Asked], k: int, decoding: Decoding, judge: Judge
) -> tuple[Array, Array]:
    """Decode with the first k tokens forced, and judge.

    Returns:
        For each request 1 where what follows is a refusal, and 1 where the whole answer is a success; else 0, and NaN
        where the judge cannot tell.

    Raises:
        PromptError: where they leave no room for one new token.
    """
    size = engine.suggest_batch_size(len(asked), decoding.max_new_tokens)
    whole: list[Response] = []
    while len(whole) < len(asked):
        batch = asked[len(whole) : len(whole) + size]
        try:
            made = engine.continue_from([a.conversation for a in batch], [a.forced[:k] for a in batch], decoding)
        except MemoryError:
            if size == 1:
                raise
            size = max(1, size // 2)
            continue
        for one, answer in zip(batch, made, strict=True):
            whole.append(
                Response(
                    point=Point().key, prompt=one.prompt.id, system="default", decoding=decoding.key, sample=len(whole),
                    text=answer.text, thinking=answer.thinking, n_tokens=answer.n_tokens,
                    finish_reason=answer.finish_reason, broken=answer.broken,
                )
            )  # fmt: skip
    with engine.lend() as (_, tokenizer):
        starts = [str(tokenizer.decode(list(one.forced[:k]), skip_special_tokens=True)) for one in asked]
    behind = [replace(r, text=r.text[len(start) :].lstrip()) for r, start in zip(whole, starts, strict=True)]
    prompts = {one.prompt.id: one.prompt for one in asked}
    said, all_ = (_judged(judge, prompts, some) for some in (behind, whole))
    return (
        np.array([np.nan if v is None or v.label == "unscored" else float(v.label == "refusal") for v in said]),
        np.array([np.nan if v is None or v.success is None else float(v.success) for v in all_]),
    )


def _judged(judge: Judge, prompts: Mapping[str, Prompt], responses: Sequence[Response]) -> list[Any]:
    found = {verdict.response: verdict for verdict in judge_all(judge, prompts, responses, {})}
    return [found.get(response.key) for response in responses]


def _rate(found: Array) -> Estimate:
    known = found[np.isfinite(found)]
    return estimate_rate(int(known.sum()), len(known), len(found) - len(known))
