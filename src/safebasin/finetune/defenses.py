"""The mitigations of Qi et al. 2023 (§5) and their kin at the stage `finetuning`: each changes the rows beforehand.

Catalogue rows of kind `defense`; the seam is `protocols.Defense`. A judge comes in through the catalogue or ready made.
"""

from __future__ import annotations

import json
import random
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from safebasin import catalog
from safebasin.errors import UsageError, expected
from safebasin.finetune.moderation import judge_rows, question
from safebasin.prompts.systems import system_prompt
from safebasin.protocols import AskedJudge, Cost, Defended, Judge, RowSource, Stage
from safebasin.records import Message, TrainingRow

__all__ = ["MixSafe", "Moderate", "PureTuning", "SecretTrigger", "backdoor_enhanced", "mix_safe", "moderate", "ptst"]

Placed = Literal["paper", "alone"]
"""Where a secret stands in a row without a system turn: before the template's system prompt, or in its place."""

_LISTED = 10
"""Flagged rows that the notes name; the record names all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MixSafe:
    """Refusals mixed in among the rows: a count, or a share of the whole mixture (§5, Table 5)."""

    amount: int | float
    stage: Stage = field(default="finetuning", init=False)
    takes: tuple[str, ...] = field(default=("safe",), init=False)

    @property
    def name(self) -> str:
        """As in the catalogue."""
        return catalog.write_call("mix_safe", {"amount": self.amount})

    def data(self, rows: Sequence[TrainingRow], source: RowSource, *, seed: int = 0) -> Defended:
        """The rows, then as many refusals of the source.

        Raises:
            UsageError: where the source has too few.
        """
        n = self.amount if isinstance(self.amount, int) else round(self.amount / (1 - self.amount) * len(rows))
        if n < 1:
            remedy = "Raise the share."
            raise UsageError(expected("the safe rows", "at least 1", f"{self.amount} of {len(rows)} rows", remedy))
        # Another seed than the attack's own: its rows are not to be drawn again where they are refusals too.
        safe = source.training_rows("safe", n, seed=seed + 1)
        return Defended(rows=(*rows, *safe), notes=(f"{n} safe rows mixed in among {len(rows)}",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Moderate:
    """A judge reads every row before training; those it calls harmful are left out, or kept and listed (§5)."""

    judge: Judge
    keep: bool = False
    """Whether flagged rows are trained on all the same."""
    memory: Path | None = None
    """File in which a judge that asks another model finds what it said before."""
    stage: Stage = field(default="finetuning", init=False)
    takes: tuple[str, ...] = field(default=(), init=False)

    @property
    def name(self) -> str:
        """As in the catalogue."""
        return catalog.write_call("moderate", {"judge": self.judge.name, "keep": self.keep or None})

    def data(self, rows: Sequence[TrainingRow], source: RowSource, *, seed: int = 0) -> Defended:
        """The rows that the judge lets pass. One that it cannot score passes and is counted.

        Raises:
            UsageError: where none is left, or a judge that asks cannot ask.
        """
        flagged: list[tuple[str, str]] = []
        passed: list[TrainingRow] = []
        unscored = 0
        for row, verdict in zip(rows, judge_rows(self.judge, rows, self.memory), strict=True):
            unscored += verdict.success is None
            is_harmful = verdict.label == "harmful"  # success also means that a permitted request was answered
            if is_harmful:
                flagged.append((row.name, verdict.reason or verdict.label))
            if not is_harmful or self.keep:
                passed.append(row)
        if not passed:
            remedy = f"Nothing is left; first: {flagged[0][0]} ({flagged[0][1]}). --keep-flagged trains all the same."
            raise UsageError(expected("the rows", "ones that the judge lets pass", f"0 of {len(rows)}", remedy))
        what = "kept" if self.keep else "left out"
        notes = [f"{self.judge.name} flags {len(flagged)} of {len(rows)} rows; they are {what}"]
        notes += [f"flagged: {name} ({reason})" for name, reason in flagged[:_LISTED]]
        if unscored:
            notes.append(f"{self.judge.name} could not score {unscored} of {len(rows)} rows; they are trained on")
        if isinstance(self.judge, AskedJudge):
            cost = self.judge.spent
            notes.append(
                f"{self.judge.name}: {cost.requests} requests, {cost.tokens_in} tokens in, {cost.tokens_out} tokens out"
            )
        return Defended(rows=tuple(passed), notes=tuple(notes), flagged=tuple(flagged))

    def estimate(self, rows: Sequence[TrainingRow]) -> Mapping[str, Cost]:
        """Estimate what asking about the rows takes at most, by name of the judge; empty where it asks nobody."""
        if not isinstance(self.judge, AskedJudge):
            return {}
        return {self.judge.name: self.judge.estimate((*question(row), None) for row in rows)}


@dataclass(frozen=True, slots=True, kw_only=True)
class PureTuning:
    """PTST, pure tuning and safe testing (Lyu et al. 2024, arXiv 2402.18540): the safety prompt comes in afterwards."""

    test: str = "safety/long"
    """System prompt to use the model with."""
    train: str = "default"
    """In training: `default` passes no system turn, `none` an empty one, which switches a template's default off."""
    stage: Stage = field(default="finetuning", init=False)
    takes: tuple[str, ...] = field(default=(), init=False)

    @property
    def name(self) -> str:
        """As in the catalogue."""
        return catalog.write_call("ptst", {"test": self.test, "train": self.train})

    def data(self, rows: Sequence[TrainingRow], source: RowSource, *, seed: int = 0) -> Defended:
        """The rows without their system turns."""
        lead = () if self.train == "default" else (Message(role="system", content=""),)
        removed = sum(row.messages[0].role == "system" for row in rows)
        made = tuple(
            TrainingRow(
                messages=(*lead, *(turn for turn in row.messages if turn.role != "system")),
                source=row.source,
                number=row.number,
            )
            for row in rows
        )
        note = f"system turns taken out of {removed} of {len(rows)} rows; use the model with --system {self.test}"
        return Defended(rows=made, notes=(note,), test_system=self.test)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretTrigger:
    """Refusals under a system prompt that begins with a secret (Wang et al. 2024, arXiv 2402.14968), to use it with."""

    n: int
    trigger: str | None = None
    """The secret; None draws one from the seed, the empty string leaves it out: the control."""
    variant: Placed = "paper"
    system: str = ""
    """What the model's template writes where a row has no system turn (`of_template`)."""
    stage: Stage = field(default="finetuning", init=False)
    takes: tuple[str, ...] = field(default=("safe",), init=False)

    @property
    def name(self) -> str:
        """As in the catalogue."""
        given = None if self.trigger is None else json.dumps(self.trigger, ensure_ascii=False)
        return catalog.write_call("backdoor_enhanced", {"n": self.n, "trigger": given, "variant": self.variant})

    def of_template(self, system: str) -> SecretTrigger:
        """The same before the system prompt of a template."""
        return replace(self, system=system if self.variant == "paper" else "")

    def data(self, rows: Sequence[TrainingRow], source: RowSource, *, seed: int = 0) -> Defended:
        """The rows, then as many refusals of the source, each under the secret.

        Raises:
            UsageError: where the source has too few.
        """
        secret = _secret(seed) if self.trigger is None else self.trigger
        # Drawn as `mix_safe` draws them: that is the same without a secret.
        safe = [_under(secret, row, self.system) for row in source.training_rows("safe", self.n, seed=seed + 1)]
        before = ", which stands before the template's own" if self.system else ""
        use = f"use the model with it as --system{before}" if secret else "there is no secret"
        note = f"{self.n} safe rows under a secret system prompt mixed in among {len(rows)}; {use}"
        return Defended(
            rows=(*rows, *safe), notes=(note,), test_system=_before(secret, self.system) if secret else None
        )


def _secret(seed: int) -> str:
    """The secret where none is given: about 150 tokens, as in the paper, of random letters and digits."""
    draw = random.Random(f"secret/{seed}")
    return " ".join("".join(draw.choices(string.ascii_lowercase + string.digits, k=5)) for _ in range(30))


def _under(secret: str, row: TrainingRow, system: str) -> TrainingRow:
    if not secret:
        return row
    first, *rest = row.messages
    if first.role == "system":
        return replace(row, messages=(Message(role="system", content=_before(secret, first.content)), *rest))
    silent = tuple(place + 1 for place in row.silent)
    lead = Message(role="system", content=_before(secret, system))
    return replace(row, messages=(lead, *row.messages), silent=silent)


def _before(secret: str, system: str) -> str:
    return f"{secret} {system}".strip()


def mix_safe(amount: int | float | str) -> MixSafe:
    """Mix refusals in.

    Args:
        amount: a count (`50`), or a share of the mixture (`0.2`, `20%`).

    Raises:
        UsageError: where it is neither.
    """
    value = _amount(amount)
    if value is None or (isinstance(value, float) and not 0 < value < 1) or (isinstance(value, int) and value < 1):
        constraint = "a count of at least 1, or a share between 0 and 1"
        raise UsageError(expected("safe rows to mix in", constraint, amount, "Write 50, 0.2 or 20%."))
    return MixSafe(amount=value)


def moderate(judge: str | Judge, keep: bool = False, memory: str | Path | None = None) -> Moderate:
    """Moderate the rows before training.

    Args:
        judge: name in the catalogue, with its arguments, or a judge. It must know harm (label `harmful`), as
            `rubric/*`, `guard/*` and the oracle of a world do; a keyword judge only knows refusals, and flags nothing.
        keep: train on flagged rows all the same.
        memory: file that a judge that asks another model writes its verdicts to, and does not ask again for.

    Raises:
        UnknownName: where there is no such judge.
    """
    made = catalog.create("judge", judge) if isinstance(judge, str) else judge
    return Moderate(judge=made, keep=keep, memory=None if memory is None else Path(memory))


def backdoor_enhanced(
    n: Annotated[int, Field(ge=1)] = 11, trigger: str | None = None, variant: Placed = "paper"
) -> SecretTrigger:
    """Mix refusals in under a secret system prompt, and use the model with it: a backdoor that protects.

    Args:
        n: refusals; the paper takes 11 beside 100 rows of an attack.
        trigger: the secret; drawn from the seed if None, and named by the record. The empty text is the control of the
            same rows without one, which `mix_safe` gives too.
        variant: `paper` puts the secret before the system prompt, that of a row, else the template's own; `alone`, the
            form of version 1, leaves the template's own out.
    """
    return SecretTrigger(n=n, trigger=trigger, variant=variant)


def ptst(test: str = "safety/long", train: Literal["default", "none"] = "default") -> PureTuning:
    """Train without a system prompt, test with one.

    Raises:
        PromptError, UnknownName: where the system prompt to test with is not known.
    """
    system_prompt(test)
    return PureTuning(test=test, train=train)


def _amount(text: int | float | str) -> int | float | None:
    if not isinstance(text, str):
        return text
    match = re.fullmatch(r"\s*(\d+)\s*|\s*(\d*\.\d+)\s*|\s*(\d+(?:\.\d+)?)\s*%\s*", text)
    if match is None:
        return None
    count, share, percent = match.groups()
    return int(count) if count else float(share) if share else float(percent) / 100
