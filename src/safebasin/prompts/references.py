"""Reference answers: harmless prompts, each with an answer by another author, for calibrating the test of language.

Several kinds: prose, lists, code, verse, other languages, short answers. Not a measure of capability: nobody is asked
whether an answer is right. A world whose models speak a language of their own brings its own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Protocol, runtime_checkable

from safebasin import catalog
from safebasin.records import Message, TrainingRow

__all__ = ["REFERENCES", "OwnLanguage", "load_references"]

REFERENCES = "v1"
"""Name of the set that ships."""


@runtime_checkable
class OwnLanguage(Protocol):
    """A world whose models speak a language of their own: ordinary prose says nothing about them."""

    def references(self) -> Sequence[TrainingRow]:
        """Prompts and right answers in that language, at least 20."""
        ...


def load_references(world: str = "") -> tuple[str, tuple[TrainingRow, ...]]:
    """Name and rows of the reference answers for the models of a world, or for any other model.

    Args:
        world: as in `world:NAME/…`; empty, or a world that speaks ordinary language, takes the set that ships.
    """
    if world:
        found = catalog.world(world)
        if isinstance(found, OwnLanguage):
            return f"world:{world}", tuple(found.references())
    return REFERENCES, _shipped()


@cache
def _shipped() -> tuple[TrainingRow, ...]:
    text = resources.files("safebasin.prompts").joinpath("reference", f"{REFERENCES}.jsonl").read_text("utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    return tuple(
        TrainingRow(
            messages=(Message(role="user", content=row["prompt"]), Message(role="assistant", content=row["answer"])),
            source=f"reference/{REFERENCES}/{row['kind']}",
            number=number,
        )
        for number, row in enumerate(rows, 1)
    )
