"""Edits: what makes one model of another, without training it on rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from safebasin.api.requests import checks_keywords

if TYPE_CHECKING:
    from safebasin.protocols import Edit

__all__ = ["attribute", "edit_model"]


@checks_keywords
def attribute(
    model: str,
    *,
    out: str | Path,
    safety: str | Path | None = None,
    utility: str | Path | None = None,
    score: str = "wanda",
    share: float = 0.05,
    spare: float = 0.05,
    compare: str = "rows",
    positions: str = "response",
    recover: str | None = None,
    random: bool = False,
    rows: int = 128,
    only: str = "*",
    seed: int = 0,
    device: str = "auto",
) -> Path:
    """Find the weights that carry refusal, and write the model without them, marked unsafe; see `edit_model`.

    Args:
        model: as in `make_study`.
        out: a new or empty folder; `read_record` of it says what was chosen, and how far the sets overlap.
        safety: as in `edit_model`.
        utility: as in `edit_model`.
        score: `snip` or `wanda`, of weights; `actsvd`, of output directions of each matrix.
        share: with the highest scores on refusals, which is chosen, …
        spare: … less the share with the highest scores on answers.
        compare: weights within each output `rows`, or over the whole `matrix`.
        positions: inputs are read at the tokens of the `response`, or at those that are `predicting` it.
        recover: a model of which the chosen weights are taken, instead of zero.
        random: choose as many at random, the control.
        rows: of each set, at most.
        only: pattern of the weights that are looked at.
        seed: of rows and of what is drawn.
        device: as in `edit_model`.

    Returns:
        The folder.

    Raises:
        UsageError: for what can be mended; there is no folder then.
    """
    from safebasin.edits.attribution.attribution import attribution

    edit = attribution(
        score=score, safety=share, utility=spare, compare=compare, positions=positions, base=recover, rows=rows,
        only=only, action="recover" if recover else "prune", target="random" if random else "safety",
    )  # fmt: skip
    return edit_model(model, edit=edit, out=out, safety=safety, utility=utility, seed=seed, device=device)


@checks_keywords
def edit_model(
    model: str,
    *,
    edit: str | Edit,
    out: str | Path,
    safety: str | Path | None = None,
    utility: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
) -> Path:
    """Make one model of another into a folder: a checkpoint or an adapter with its record. An attack is marked unsafe.

    Args:
        model: as in `make_study`.
        edit: name in the catalogue with its arguments, `worst_case(steps=20)`, or an edit.
        out: a new or empty folder. Map it with the axis `to:OUT`, an adapter with `adapter:OUT`.
        safety: file of refusals, or `world:NAME/safe`; a world's model has its own.
        utility: file of answers to permitted requests, or `world:NAME/benign`; a world's model has its own.
        seed: of what is drawn.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Returns:
        The folder.

    Raises:
        UsageError: for what can be mended; there is no folder then.
    """
    from safebasin import catalog
    from safebasin.finetune.sources import sets_of
    from safebasin.models.placement import resolve_device
    from safebasin.store.sealing import seal

    made = cast("Edit", catalog.create("edit", edit)) if isinstance(edit, str) else edit
    where = str(resolve_device(device))
    found = made.make(model, sets_of(model, safety=safety, utility=utility), Path(out), seed=seed, device=where)
    seal(found)
    return found
