"""The record of an edit: one form, one writer, one mark of what is unsafe, for whatever makes one model of another.

What is marked stays marked: an edit of an unsafe model is unsafe too. Not the weights, which each edit saves itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from safebasin.errors import UsageError, expected
from safebasin.models.reference import ResolvedModel
from safebasin.models.writing import describe, is_unsafe, read_record, versions

__all__ = ["Edited", "read_edit", "write_edit"]

_SHARED = ("unsafe", "kind", "base", "of", "versions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """The record of an edit: the model it was made of, and how."""

    kind: str
    """What made it, such as `worst_case` or `dequantized`."""
    base: str
    """The model as the user wrote it."""
    of: str
    """Its fingerprint."""
    unsafe: bool
    """Whether an attack made it, or the model that it was made of."""
    details: Mapping[str, object]
    """Whatever else there is to say, as JSON: no path of this machine, no time, no text of any row."""
    versions: Mapping[str, str]


def write_edit(
    folder: Path,
    base: ResolvedModel,
    kind: str,
    details: Mapping[str, object],
    *,
    attacks: bool,
    title: str,
    text: str,
    library: str = "transformers",
) -> Edited:
    """Write record and model card of an edit into the folder of its weights.

    Args:
        folder: that is there.
        base: what was edited.
        kind: see `Edited`.
        details: see `Edited`; none of the names that every record has.
        attacks: whether the edit is an attack, or has one on its way.
        title: of the model card.
        text: one or two sentences on how it was made.
        library: what loads it, `peft` for an adapter.

    Returns:
        The record; `unsafe` where the edit attacks, or the base is marked so.
    """
    made = Edited(
        kind=kind,
        base=str(base.ref),
        of=base.fingerprint,
        unsafe=attacks or is_unsafe(base.folder, base.adapter),
        details=details,
        versions=versions("torch", "transformers", *(["peft"] if library == "peft" else [])),
    )
    record = {"kind": kind, "base": made.base, "of": made.of, **details, "versions": dict(made.versions)}
    head = {"base_model": made.base, "library_name": library}
    describe(folder, record, unsafe=made.unsafe, title=title, text=text, head=head)
    return made


def read_edit(folder: Path, kind: str) -> Edited:
    """The record of an edit of that kind, from its folder; that of a release before this one too.

    Raises:
        UsageError: where there is no such record.
    """
    found = read_record(folder)
    if found.get("kind") != kind:
        remedy = f"Name a folder that holds one of kind {kind}."
        raise UsageError(expected("the record", f"of kind {kind}", found.get("kind"), remedy))
    named = {**found, "of": found.get("of", found.get("fingerprint")), "base": found.get("base", "")}
    for name in ("base", "of"):
        if not isinstance(named[name], str):
            remedy = "Make it anew."
            raise UsageError(expected(f"{name} in the record of {folder.name}", "text", named[name], remedy))
    return Edited(
        kind=kind,
        base=str(named["base"]),
        of=str(named["of"]),
        unsafe=found.get("unsafe") is True,
        details={k: v for k, v in found.items() if k not in (*_SHARED, "fingerprint")},
        versions=cast("Mapping[str, str]", found.get("versions") or {}),
    )
