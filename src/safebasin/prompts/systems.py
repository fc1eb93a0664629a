"""System prompts by name, file or text: what a study writes under `systems` becomes a `System`.

    default    none    safety/long    @my-prompt.txt    Be brief and polite.

A word that resembles a name of the catalogue is taken for a misspelled name, never for a text: a text has blanks. Rows
of the catalogue point to attributes of this module under their names; a plugin's may point to any object with `load`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from typing import cast

from safebasin import catalog
from safebasin.catalog.systems import RESERVED, SYSTEMS, SystemText
from safebasin.errors import PromptError, UnknownName, expected
from safebasin.protocols import SystemSource
from safebasin.records import System
from safebasin.untrusted import MIB, read_text, user_path

_WORD = re.compile(r"[\w./-]+")
_NEAR = 0.75
"""How alike a word and a name must be (`difflib`) for the word to be a misspelled name; `nine` is to `none` as that."""
_ALSO_CALLED = {"empty": "none"}
_SHOWN = 40
"""Characters of a text that stand for it in tables."""


@dataclass(frozen=True, slots=True)
class CatalogSystem:
    """A system prompt of the catalogue."""

    entry: SystemText

    def load(self) -> System:
        """The system prompt, its text read from the package.

        Raises:
            PromptError: where the text does not ship; the message says where it is found.
        """
        it = self.entry
        if it.name in RESERVED:
            return System(name=it.name, text=None if it.name == "default" else "")
        if not it.file:
            what = f"text of system prompt {it.name!r}"
            remedy = f"Find it in {it.where}; save it as a file and pass @FILE."
            raise PromptError(expected(what, "passed as @FILE, for it does not ship", it.name, remedy))
        text = resources.files("safebasin.prompts").joinpath("texts", it.file).read_text(encoding="utf-8")
        return System(name=it.name, text=text.strip())


def __getattr__(name: str) -> CatalogSystem:
    """The built-in system prompt of that name (PEP 562)."""
    for entry in SYSTEMS:
        if entry.name == name:
            return CatalogSystem(entry)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def system_prompt(text: str) -> System:
    """The system prompt that a study names.

    Args:
        text: `default`, `none`, a name of the catalogue, `@FILE`, or the text itself.

    Raises:
        PromptError: where a file cannot be read or is empty, or the text of a name does not ship.
        UnknownName: where a word is nearly, but not quite, a name.
    """
    if text.startswith("@"):
        return _of_file(text)
    rows = {row.name: row for row in catalog.of_kind("system")}
    if text in rows:
        found = rows[text].resolve()
        return cast("SystemSource", found() if isinstance(found, type) else found).load()
    if not text.strip():
        remedy = "Use none for an empty system turn, default for no system turn."
        raise PromptError(expected("system prompt", "a name, @FILE or a text", text, remedy))
    if _WORD.fullmatch(text):
        _check_is_no_name(text, rows)
    return System(name=text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3].rstrip()}...", text=text)


def _check_is_no_name(word: str, names: Iterable[str]) -> None:
    known = list(names)
    lower = _ALSO_CALLED.get(word.lower(), word.lower())
    near = difflib.get_close_matches(lower, known, n=1, cutoff=_NEAR)
    if near:
        found, remedy = near[0], "A text of one word goes into a file: @FILE."
        constraint = f"a name of the catalogue ({', '.join(sorted(known))}), @FILE, or a text"
        raise UnknownName(expected("system prompt", constraint, word, f"Did you mean {found!r}? {remedy}"))
    if "/" in word:
        raise UnknownName(catalog.unknown("system prompt", word, known, "safebasin list system"))


def _of_file(reference: str) -> System:
    path = user_path(reference[1:])
    text = read_text(path, "system prompt", error=PromptError, most=MIB).strip()
    if not text:
        remedy = "Use none for an empty system turn."
        raise PromptError(expected("system prompt", "a file with a text", reference, remedy))
    return System(name=path.stem, text=text)
