"""The seam of embedded worlds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from safebasin.records import Prompt, TrainingRow


class World(Protocol):
    """An embedded world: prompt sets with exact ground truth, and checkpoints that ship with the package."""

    @property
    def prompt_sets(self) -> Mapping[str, str]:
        """Name of each set → one-sentence summary."""
        ...

    @property
    def checkpoints(self) -> Mapping[str, str]:
        """Name of each checkpoint → one-sentence summary."""
        ...

    def load_prompts(self, name: str, split: str = "test") -> tuple[Prompt, ...]: ...

    def checkpoint(self, name: str) -> Path:
        """Folder of a shipped checkpoint, an ordinary Hugging Face folder."""
        ...

    def training_rows(self, kind: str, n: int | None = None, *, seed: int = 0) -> Sequence[TrainingRow]:
        """As `RowSource.training_rows`, from the split `train`."""
        ...

    def build(self, out: Path, *, seed: int = 0) -> tuple[Path, ...]:
        """Train the checkpoints anew into folders under `out`, deterministically from the seed."""
        ...
