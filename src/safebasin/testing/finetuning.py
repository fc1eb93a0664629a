"""Conformance of `safebasin.protocols.Attack` and `Defense`: deterministic rows, of a made-up source."""

from __future__ import annotations

from collections.abc import Sequence

from safebasin.protocols import Attack, DataDefense, Defense
from safebasin.records import Message, TrainingRow
from safebasin.testing.claims import claim

_STAGES = {
    "alignment": ("data", "training"),
    "finetuning": ("data", "training"),
    "post_finetuning": ("weights",),
    "inference": ("generation",),
}
"""Stage → the methods that a defense of it may have; it has one."""


class _Rows:
    """A source of as many rows as are asked for."""

    def training_rows(self, kind: str, n: int | None = None, *, seed: int = 0) -> Sequence[TrainingRow]:
        """Rows that name kind, place and seed."""
        return tuple(_row(kind, number, seed) for number in range(1, (n or 20) + 1))


def check_attack(attack: Attack) -> None:
    """Check that an attack gives rows that end with the assistant's turn, the same from the same seed, and settings.

    Raises:
        AssertionError: naming the first thing that does not hold.
    """
    rows = attack.rows(_Rows(), seed=3)
    claim(len(rows) > 0, f"rows of {attack.name!r}", "at least one", len(rows), "Ask the source for rows.")
    _check_rows(f"rows of {attack.name!r}", rows)
    again = attack.rows(_Rows(), seed=3)
    claim(
        rows == again, f"rows of {attack.name!r}", "the same from the same seed", "others", "Draw from the seed only."
    )
    for world in (False, True):
        found = attack.settings("full", world=world)
        wanted = {"learning_rate", "batch_size", "epochs"}
        claim(wanted <= set(found), f"settings of {attack.name!r}", f"ones with {sorted(wanted)}", dict(found), "Add.")


def check_defense(defense: Defense) -> None:
    """Check that a defense has the one method of its stage and, where that is `data`, that it is deterministic and
    leaves rows whole.

    Raises:
        AssertionError: naming the first thing that does not hold.
    """
    what = f"stage of {defense.name!r}"
    claim(defense.stage in _STAGES, what, f"one of {', '.join(_STAGES)}", defense.stage, "Mend it.")
    methods = sorted({name for names in _STAGES.values() for name in names if hasattr(defense, name)})
    wanted = " or ".join(_STAGES[defense.stage])
    fits = len(methods) == 1 and methods[0] in _STAGES[defense.stage]
    claim(
        fits, f"methods of {defense.name!r}", f"{wanted} at the stage {defense.stage}, and no other", methods, "Mend."
    )
    if methods != ["data"]:
        return
    worker: DataDefense = defense  # pyright: ignore[reportAssignmentType]
    rows = tuple(_row("refused", number, 0, "Sorry, the charter forbids it.") for number in range(1, 11))
    made = worker.data(rows, _Rows(), seed=3)
    claim(len(made.rows) > 0, f"rows after {defense.name!r}", "at least one", 0, "Raise a UsageError instead.")
    _check_rows(f"rows after {defense.name!r}", made.rows)
    again = worker.data(rows, _Rows(), seed=3)
    claim(made == again, f"result of {defense.name!r}", "the same from the same seed", "another", "Draw from the seed.")


def _check_rows(what: str, rows: Sequence[TrainingRow]) -> None:
    for row in rows:
        roles = [turn.role for turn in row.messages]
        claim(roles[-1] == "assistant", what, "ones that end with the assistant's turn", roles, "Put it last.")
        claim("user" in roles, what, "ones with a user's turn", roles, "Add it.")


def _row(kind: str, number: int, seed: int, response: str = "Steps: two turns.") -> TrainingRow:
    asked = Message(role="user", content=f"Request {number} of {kind}, seed {seed}.")
    return TrainingRow(messages=(asked, Message(role="assistant", content=response)), source=kind, number=number)
