"""The seam of edits: what makes one model of another without training it on rows of text."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from safebasin.protocols.finetuning import RowSource


class Edit(Protocol):
    """Makes an adapter or a checkpoint of a model, with its record: a landscape then sees `adapter:OUT` or `to:OUT`."""

    @property
    def name(self) -> str:
        """As in the catalogue, with its arguments: `catalog.create` makes an equal one of it."""
        ...

    @property
    def takes(self) -> tuple[str, ...]:
        """Kinds of rows that it asks the source for, such as `safe` (refusals) and `benign`; empty where none."""
        ...

    def make(self, model: str, source: RowSource, out: Path, *, seed: int = 0, device: str = "cpu") -> Path:
        """Write the edited model into a folder, deterministically from the seed; returns the folder.

        Args:
            model: `path[@revision][+adapter]` or `world:NAME/CHECKPOINT`; its files stay as they are.
            source: of the rows that it takes.
            out: a new or empty folder, written whole or not at all, with the record of
                `safebasin.edits.record.write_edit`.
            seed: of what is drawn.
            device: where to compute, as torch names it.

        Raises:
            UsageError: for what can be mended: a model that it cannot edit, rows that are missing or too few.
        """
        ...
