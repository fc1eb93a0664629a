"""Models tuned for claims, as a user tunes them: attacks, settings and trainer of `safebasin finetune`, and rows files.

A model is trained once: its folder is named by all that it is made from, and its record says the same, so that what
another recipe, other rows or another trainer made is never taken for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from safebasin import catalog
from safebasin.finetune.data import data_hash
from safebasin.finetune.prepare import TuningRequest, prepare
from safebasin.finetune.tune import KIND, finetune
from safebasin.protocols import Attack
from safebasin.records import content_hash
from safebasin.writing import write_text

__all__ = ["rows_file", "settings_of", "tuned"]


def tuned(asked: TuningRequest, models: Path, name: str, progress: Callable[[int, int, float], None]) -> Path:
    """The checkpoint that `safebasin finetune` makes of what is asked, trained or found.

    Args:
        asked: model, attack, rows, defenses and settings.
        models: folder of such checkpoints.
        name: what the checkpoint's folder begins with.
        progress: told of (step, steps, loss); not where it is found.

    Raises:
        MissingExtra: where TRL or PEFT is not installed.
        UsageError: as `prepare` and `finetune`.
    """
    prepared = prepare(asked)
    made_from = [
        KIND,
        prepared.base.fingerprint,
        asked.attack.name if asked.attack else None,
        [defense.name for defense in asked.defenses],
        asdict(prepared.tuning),
        data_hash([encoded.row for encoded in prepared.rows]),
        prepared.template,
    ]
    folder = models / f"{name}-{content_hash(made_from, length=12)}"
    return finetune(prepared, folder, resume=True, progress=progress).path


def settings_of(attack: str) -> Mapping[str, Any]:
    """Rate, batch and epochs of an attack on a world's models: for what is compared with it."""
    return cast("Attack", catalog.create("attack", attack)).settings("full", world=True)


def rows_file(file: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    """The rows in a file, as `safebasin finetune --data` and `--safe` read them."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_text(file, "".join(json.dumps(row) + "\n" for row in rows))
    return file
