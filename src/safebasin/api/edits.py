"""Edits: what makes one model of another, without training it on rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from safebasin.protocols import Edit

__all__ = ["edit_model"]


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

    made = cast("Edit", catalog.create("edit", edit)) if isinstance(edit, str) else edit
    where = str(resolve_device(device))
    return made.make(model, sets_of(model, safety=safety, utility=utility), Path(out), seed=seed, device=where)
