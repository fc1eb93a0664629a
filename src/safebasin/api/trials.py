"""Defenses beside each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from safebasin.api.progress import Progress, shown
from safebasin.api.requests import checks_keywords
from safebasin.errors import StudyError, expected
from safebasin.items import items

if TYPE_CHECKING:
    from safebasin.finetune.settings import Method
    from safebasin.trial.run import DefensesCompared

__all__ = ["compare_defenses"]


@checks_keywords
def compare_defenses(
    base: str,
    *,
    out: str | Path,
    attack: str = "harmful_examples",
    defenses: str | Sequence[str] = (),
    harmful: str | None = None,
    benign: str | None = None,
    borderline: str | None = None,
    limit: int | None = None,
    quick: bool = False,
    judges: str | Sequence[str] = (),
    method: Method = "full",
    data: str | Path | None = None,
    safe: str | Path | None = None,
    utility: str | Path | None = None,
    stress: int | None = None,
    stress_seeds: int = 1,
    seed: int = 0,
    device: str = "auto",
    progress: Progress = True,
    training: Callable[[int, int, float], None] | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> DefensesCompared:
    """Attack a model under each of several defenses, ask every result the same prompts, and compare.

    Args:
        base: the model that is attacked, as in `make_study`.
        out: folder; the same again takes up what is there.
        attack: name in the catalogue, with its arguments.
        defenses: by name, of any stage; a world's model has some by default.
        harmful: source of harmful prompts; a world has its own, as of the other two.
        benign: of benign ones.
        borderline: of benign ones that look harmful.
        limit: at most this many prompts of each set; 200 if None, 40 where it is quick.
        quick: fewer prompts.
        judges: as of `audit`.
        method: `full` or `lora`.
        data: rows of the attack; a world's model needs none.
        safe: refusals, where a defense mixes them in; of the stress test too.
        utility: answers to permitted requests, of the stress test; a world has its own, as of `safe`.
        stress: find the smallest budget that breaks each, up to this many steps of the attack; none if None.
        stress_seeds: how many seeds that test trains from, `seed` the first: an interval takes one, or at least three.
        seed: of rows and training.
        device: `auto`, `cpu`, `cuda` or `mps`.
        progress: a hook, called while a model is asked; True shows a bar on a terminal or in a
            notebook, False nothing.
        training: told of (step, steps, loss).
        note: told in a sentence what is being done.

    Raises:
        UsageError: for what can be mended; what has been measured stays in the folder.
    """
    from safebasin.models.placement import resolve_device
    from safebasin.trial.run import compare_defenses

    if stress is not None and stress < 1:
        raise StudyError(expected("steps of the stress test", "at least 1", stress, "64 are usual."))
    if stress_seeds < 1 or (stress is None and stress_seeds > 1):
        constraint = "at least 1, and given with the stress test"
        raise StudyError(expected("seeds of the stress test", constraint, stress_seeds, "Write --stress 16 too."))
    with shown(progress) as hook:
        return compare_defenses(
            base, out=Path(out), attack=attack, defenses=items(defenses), harmful=harmful, benign=benign,
            borderline=borderline, limit=limit or (40 if quick else 200), judges=items(judges), method=method,
            data=_path(data), safe=_path(safe), utility=_path(utility), stress=stress, stress_seeds=stress_seeds,
            seed=seed, device=str(resolve_device(device)), progress=hook, training=training, note=note,
        )  # fmt: skip


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)
