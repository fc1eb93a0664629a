"""What the catalogue is made of: a row names one thing and says where its code is, without importing it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from safebasin.errors import UnknownName


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One entry of the catalogue. A row is a contract: `safebasin.testing` checks what it points to."""

    kind: str
    """`attack`, `backend`, `defense`, `direction`, `edit`, `engine`, `judge`, `prompts`, `system`, or `world`."""
    name: str
    target: str
    """`module:object`, imported when first used."""
    summary: str
    """One sentence, for `safebasin list`."""
    source: str
    """Paper, repository or "safebasin": where the definition comes from."""
    facts: tuple[tuple[str, str], ...] = ()
    """Further facts, shown by `safebasin show`: hub id, revision, licence, columns, citation. These decide something:

    `measures`, of every judge: `refusal`, `outcome`, `harm` or `truth`; further `by` `keywords` where it is a list of
    phrases, as in published attack success, and `exact` `yes` where its truth covers whether an answer is right.
    `grades`, of a judge that grades: the scale, `1 to 5`.
    `stops`, of an engine: the stop rules that it honors, `none verdict`.
    `target`, of a direction that leads somewhere: `model`, `models` (two, TUNED,BASE), `adapter`, or `text`, which only
    the direction itself can read. One without is drawn, and takes no target.
    """

    def fact(self, key: str) -> str | None:
        """The fact of that name, or None."""
        return dict(self.facts).get(key)

    def resolve(self) -> object:
        """Import the target.

        Raises:
            UnknownName: where the module or the object does not exist (a broken plugin).
        """
        module, _, attribute = self.target.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise UnknownName(
                f"{self.kind} {self.name!r} must be importable from {self.target!r}; got {error}. "
                "Install or mend the package that provides it."
            ) from error
