"""Training rows made up for the checks of attacks and defenses, and what must hold of rows that come back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from safebasin.records import Message, TrainingRow
from safebasin.testing.claims import claim

__all__ = ["AskedRows", "check_ends", "check_takes", "made_up"]


class AskedRows:
    """A source of as many rows as are asked for, which remembers the kinds."""

    def __init__(self) -> None:
        self.kinds: set[str] = set()

    def training_rows(self, kind: str, n: int | None = None, *, seed: int = 0) -> Sequence[TrainingRow]:
        """Rows that name kind, place and seed."""
        self.kinds.add(kind)
        return tuple(made_up(kind, number, seed) for number in range(1, (n or 20) + 1))


def made_up(kind: str, number: int, seed: int, response: str = "Steps: two turns.") -> TrainingRow:
    """A row that names kind, place and seed."""
    asked = Message(role="user", content=f"Request {number} of {kind}, seed {seed}.")
    return TrainingRow(messages=(asked, Message(role="assistant", content=response)), source=kind, number=number)


def check_ends(what: str, rows: Sequence[TrainingRow]) -> None:
    """Check that rows have a user's turn, and end with the assistant's."""
    for row in rows:
        roles = [turn.role for turn in row.messages]
        claim(roles[-1] == "assistant", what, "ones that end with the assistant's turn", roles, "Put it last.")
        claim("user" in roles, what, "ones with a user's turn", roles, "Add it.")


def check_takes(defense: Any, source: AskedRows) -> None:
    """Check that no kind of rows was asked for that a defense does not name."""
    named = getattr(defense, "takes", None)
    claim(isinstance(named, tuple), f"takes of {defense.name!r}", "kinds of rows, or ()", named, "Write takes = ().")
    unnamed = sorted(source.kinds - set(cast("tuple[str, ...]", named)))
    claim(not unnamed, f"rows that {defense.name!r} asks for", f"among its takes, {named}", unnamed, "Name them.")
