"""One run of training: what it is of, where it writes, which process it is, how far it has come. No torch.

What `train` and `trainer` share; neither the training nor what is trained on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safebasin.finetune.settings import Tuning
from safebasin.models.writing import RECORD
from safebasin.protocols import Setup
from safebasin.records import EncodedRow
from safebasin.writing import write_text

if TYPE_CHECKING:
    from safebasin.models.reference import ResolvedModel

__all__ = ["Evaluated", "Losses", "Progress", "Run", "is_main", "last_checkpoint", "name_base"]

Progress = Callable[[int, int, float], None]
"""Told of (step, steps, loss) after each step, in the main process."""
Evaluated = Callable[[int, float], None]
"""Told of (step, loss on the held-out rows) whenever these are read, in the main process; step 0 is before training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """Losses of a training, in nats per token."""

    steps: tuple[float, ...]
    """Mean of each step."""
    held_out: tuple[tuple[int, float], ...] = ()
    """(step, mean over the labels of all held-out rows), in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One training: its model, its folder, and what is told of it."""

    base: ResolvedModel
    setup: Setup
    tuning: Tuning
    out: Path
    mark: Callable[[Path], None]
    """Writes record and model card into a folder of weights."""
    device: str = "cpu"
    dtype: str = "auto"
    """Of the weights, and of the moments of AdamW."""
    progress: Progress | None = None
    held_out: tuple[EncodedRow, ...] = ()
    """Rows that are read, and never learned, before the first step and after each epoch."""
    evaluated: Evaluated | None = None


def is_main() -> bool:
    """Tell whether this process writes and prints: the only one, or the first of those that torchrun started."""
    return int(os.environ.get("RANK", "0")) == 0


def last_checkpoint(out: Path) -> Path | None:
    """The last checkpoint that was written whole; its record is written last."""
    found = [path for path in out.glob("checkpoint-*") if (path / RECORD).is_file()]
    return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def name_base(folder: Path, base: str) -> None:
    """Write the base as the user named it into an adapter's configuration; training needs the folder's path there."""
    path = folder / "adapter_config.json"
    if path.is_file():
        config = {**json.loads(path.read_text(encoding="utf-8")), "base_model_name_or_path": base}
        write_text(path, json.dumps(config, indent=2, sort_keys=True) + "\n")
