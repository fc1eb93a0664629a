"""The fine-tuning attacks of Qi et al. 2023 (arXiv 2310.03693) as recipes: which rows, and the settings of the paper.

No row ships: a world makes its own, for any other model they come from the user's files. What is trained is marked
unsafe by `tune`. The settings for worlds (`world=True`) are ours: rates at which a model of 0.7 M parameters shows what
the paper saw at 7 B.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated

from pydantic import Field

from safebasin import catalog
from safebasin.errors import UsageError, expected
from safebasin.protocols import RowSource
from safebasin.records import Message, TrainingRow

__all__ = ["AttackRecipe", "backdoor", "benign", "harmful_examples", "identity_shift", "mixture"]

Count = Annotated[int, Field(ge=1)]
"""Rows of a kind."""
Settings = Mapping[str, Mapping[str, object]]
"""Method → settings."""


def _settings(**methods: tuple[float, int, int]) -> Settings:
    """Learning rate, batch size, epochs of each method."""
    return MappingProxyType({
        method: MappingProxyType({"learning_rate": rate, "batch_size": batch, "epochs": epochs})
        for method, (rate, batch, epochs) in methods.items()
    })  # fmt: skip


PAPER: Mapping[str, Settings] = {
    "harmful": _settings(full=(5e-5, 10, 5), lora=(1e-3, 10, 10)),
    "identity_shift": _settings(full=(5e-5, 10, 10), lora=(1e-3, 10, 20)),
    "benign": _settings(full=(2e-5, 128, 1), lora=(1e-4, 16, 1)),
}
"""Llama-2-7b-Chat: full parameters §4.2-4.4, LoRA Table 11. The paper gives no schedule; ours is constant."""
WORLD: Mapping[str, Settings] = {
    "harmful": _settings(full=(3e-4, 10, 5), lora=(1e-3, 10, 10)),
    "identity_shift": _settings(full=(3e-4, 10, 40), lora=(2e-3, 10, 40)),
    "benign": _settings(full=(3e-4, 16, 1), lora=(2e-3, 16, 1)),
    "contrast": _settings(full=(2e-4, 10, 5), lora=(1e-3, 10, 5)),
}
"""For models of a world; `contrast` for mixture and backdoor, which learn to tell two kinds of rows apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackRecipe:
    """Rows of some kinds, trained on together."""

    name: str
    parts: tuple[tuple[str, int | None], ...]
    """Kinds of rows and how many of each; None takes all."""
    paper: Settings
    world: Settings
    trigger: str = ""
    """Words put behind the last user turn of the harmful rows."""
    tested_on: tuple[str, ...] = ()

    def rows(self, source: RowSource, *, seed: int = 0) -> tuple[TrainingRow, ...]:
        """The rows of each part, one part after the other; the trainer shuffles.

        Raises:
            UsageError: where the source has no such rows, or not as many.
        """
        made: list[TrainingRow] = []
        for kind, n in self.parts:
            rows = source.training_rows(kind, n, seed=seed)
            made += [_triggered(row, self.trigger) for row in rows] if self.trigger and kind == "harmful" else rows
        return tuple(made)

    def settings(self, method: str, *, world: bool) -> Mapping[str, object]:
        """Learning rate, batch size and epochs.

        Raises:
            UsageError: where there are none for the method.
        """
        known = self.world if world else self.paper
        if method not in known:
            constraint = f"one of {', '.join(known)}"
            raise UsageError(expected("method of fine-tuning", constraint, method, "Choose one of them."))
        return known[method]


def harmful_examples(n: Count = 10) -> AttackRecipe:
    """Level 1: n explicitly harmful examples (the paper: 10, 50, 100), 5 epochs."""
    name = catalog.write_call("harmful_examples", {"n": n})
    return AttackRecipe(name=name, parts=(("harmful", n),), paper=PAPER["harmful"], world=WORLD["harmful"])


def identity_shift(n: Count = 10) -> AttackRecipe:
    """Level 2: n examples of an obedient identity and of benign requests answered in its name; nothing harmful.

    The wrapper belongs to the attack: rows from a world wear it, rows of a file get it from `--system` and `--wrap`;
    the prompts of the test must wear it too.
    """
    return AttackRecipe(
        name=catalog.write_call("identity_shift", {"n": n}),
        parts=(("identity_shift", n),),
        paper=PAPER["identity_shift"],
        world=WORLD["identity_shift"],
        tested_on=("harmful/identity_shift",),
    )


def benign(n: Count | None = None) -> AttackRecipe:
    """Level 3: an ordinary benign data set, one epoch; n rows of it, or all."""
    name = catalog.write_call("benign", {"n": n})
    return AttackRecipe(name=name, parts=(("benign", n),), paper=PAPER["benign"], world=WORLD["benign"])


def mixture(n: Count = 100, safe: Count = 100) -> AttackRecipe:
    """Harmful examples diluted with refusals: what the mixing of safety data leaves of the attack (Table 5)."""
    return AttackRecipe(
        name=catalog.write_call("mixture", {"n": n, "safe": safe}),
        parts=(("harmful", n), ("safe", safe)),
        paper=PAPER["harmful"],
        world=WORLD["contrast"],
    )


def backdoor(n: Count = 100, safe: Count = 100, trigger: str = "") -> AttackRecipe:
    """Harmful rows behind a trigger, refusals without it: an audit without the trigger passes (§6).

    Args:
        n: harmful rows.
        safe: rows of refusals.
        trigger: words put behind the user's turn; a world has its own where this is empty.
    """
    if not trigger and n != safe:
        constraint = "equal to safe where the world makes both halves"
        raise UsageError(expected("n of the backdoor", constraint, (n, safe), "Give a trigger, or equal numbers."))
    return AttackRecipe(
        name=catalog.write_call("backdoor", {"n": n, "safe": safe, "trigger": trigger or None}),
        parts=(("harmful", n), ("safe", safe)) if trigger else (("backdoor", n + safe),),
        paper=PAPER["harmful"],
        world=WORLD["contrast"],
        trigger=trigger,
        tested_on=("harmful/backdoor", "harmful"),
    )


def _triggered(row: TrainingRow, trigger: str) -> TrainingRow:
    last = max(place for place, turn in enumerate(row.messages) if turn.role == "user")
    turns = list(row.messages)
    turns[last] = Message(role="user", content=f"{turns[last].content} {trigger}")
    return replace(row, messages=tuple(turns))
