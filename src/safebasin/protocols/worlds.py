"""The seam of worlds: prompt sets with a ground truth, and models that belong to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from safebasin.records import Prompt, TrainingRow


class World(Protocol):
    """A world: prompt sets with ground truth, and checkpoints that ship with the package or are built."""

    @property
    def prompt_sets(self) -> Mapping[str, str]:
        """Name of each set → one-sentence summary."""
        ...

    @property
    def checkpoints(self) -> Mapping[str, str]:
        """Name of each checkpoint → one-sentence summary."""
        ...

    @property
    def rows_to_ask(self) -> Mapping[str, str]:
        """`harmful` and `benign` → the kind of rows, with answers, that none of the checkpoints was trained on."""
        ...

    def load_prompts(self, name: str, split: str = "test") -> tuple[Prompt, ...]: ...

    def checkpoint(self, name: str) -> Path:
        """Folder of a checkpoint that ships or was built, an ordinary Hugging Face folder."""
        ...

    def training_rows(self, kind: str, n: int | None = None, *, seed: int = 0) -> Sequence[TrainingRow]:
        """As `RowSource.training_rows`, of the split `train`, or of `KIND@SPLIT` where the world has more."""
        ...

    def build(
        self, out: Path | None = None, *, seed: int = 0, note: Callable[[str], None] = lambda text: None
    ) -> tuple[Path, ...]:
        """Make the checkpoints anew in folders under `out`, deterministically from the seed.

        Args:
            out: folder to write to; where the world looks for them, or `runs/NAME`, if None.
            seed: of data and training.
            note: told in a sentence what is being done.
        """
        ...
