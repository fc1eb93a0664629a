"""The embedded worlds, the claims that are checked on them, and the environment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from safebasin import catalog
from safebasin.api.progress import Progress, shown
from safebasin.api.requests import checks_keywords
from safebasin.items import items

if TYPE_CHECKING:
    from safebasin.api.doctor import Check
    from safebasin.claims.check import Checked
    from safebasin.protocols import World

__all__ = ["build_world", "check_claims", "check_environment", "world"]


@checks_keywords
def world(name: str) -> World:
    """The embedded world of that name."""
    return catalog.world(name)


@checks_keywords
def build_world(
    name: str, out: str | Path | None = None, *, seed: int = 0, note: Callable[[str], None] = lambda text: None
) -> tuple[Path, ...]:
    """Make the checkpoints of a world anew under `out`; the same seed gives the same weights.

    Args:
        name: of the world.
        out: folder; where the world looks for them, or `runs/NAME`, if None.
        seed: of data and training.
        note: told in a sentence what is being done.

    Raises:
        UsageError: where the world lacks what it is built from.
    """
    return catalog.world(name).build(None if out is None else Path(out), seed=seed, note=note)


@checks_keywords
def check_claims(
    paper: str,
    *,
    on: str | None = None,
    out: str | Path | None = None,
    quick: bool = False,
    only: Sequence[str] = (),
    seed: int = 0,
    progress: Progress = True,
    note: Callable[[str], None] = lambda text: None,
    done: Callable[[Checked], None] = lambda checked: None,
) -> tuple[Checked, ...]:
    """Check the claims of a paper on a subject; studies, models and `claims.json` stay in the folder.

    Args:
        paper: e.g. `peng2024`.
        on: `guild`, the embedded world, `real`, the model of `world:kitchen`, on which some claims are not run, or
            `pcfg`, the world of `jain2024`; None is that of the paper, else `guild`.
        out: folder; `runs/claims-PAPER` if None (`runs/claims-PAPER-real`). What is there is used again.
        quick: fewer directions, prompts, training seeds and variants.
        only: names of claims; none takes all.
        seed: of directions, training and search.
        progress: a hook, called while models are asked; True shows a bar on a terminal or in a
            notebook, False nothing.
        note: told in a sentence what is being done.
        done: told of each claim as soon as it is checked.

    Raises:
        MissingExtra: where a claim fine-tunes models and the extra `train` is not installed.
        UsageError: where paper, claim or subject is not known, or a model of it is not built.
    """
    from safebasin.claims.check import check
    from safebasin.claims.lab import Lab
    from safebasin.claims.subject import subject, usual_subject
    from safebasin.writing import KINDS, target_folder

    usual = usual_subject(paper)
    where = subject(usual if on is None else on)
    name = f"claims-{paper}{'' if where.name == usual else f'-{where.name}'}{'-quick' if quick else ''}"
    folder = Path(out) if out is not None else Path("runs") / name
    target_folder(folder, KINDS["claims"])
    with shown(progress) as hook:
        lab = Lab(folder=folder, subject=where, quick=quick, seed=seed, progress=hook, note=note)
        return check(paper, lab, only=items(only), done=done)


def check_environment() -> tuple[Check, ...]:
    """Check what this machine and installation can do, check by check."""
    from safebasin.api import doctor

    return doctor.check_environment()
