"""What TUNED is: a checkpoint on the line from BASE, an adapter, or a model that can only be asked as it ships.

Looks at folders; reads no weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from safebasin.audit.serving import Serving, differences, read_serving, stand_in
from safebasin.edits.dequantized import dequantize
from safebasin.errors import ModelError, expected
from safebasin.models.files import read_bytes, read_json
from safebasin.models.reference import ResolvedModel, locate_adapter, resolve
from safebasin.models.vocabulary import vocabulary_difference
from safebasin.models.whole import quantization
from safebasin.models.writing import is_unsafe
from safebasin.untrusted import user_path

__all__ = ["Candidate", "Kind", "find_candidate", "with_own_files", "with_plain_weights"]

Kind = Literal["checkpoint", "adapter", "quantized", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """The tuned model, and how it can be measured."""

    kind: Kind
    """`quantized` and `other` (another tokenizer or other shapes) cannot lie on a line from the base."""
    given: str
    """As the user wrote it."""
    model: str
    """A reference that an engine loads."""
    target: str
    """What the axis leads to."""
    fingerprint: str
    unsafe: bool
    """Whether its record says that an attack made it."""
    difference: str = ""
    """Why it is not on the line, as a phrase."""
    plain: str = ""
    """Folder of the weights that a quantized checkpoint stands for, where they could be had: they are on the line."""
    otherwise: tuple[str, ...] = ()
    """What beside weights and template decides its answers otherwise than those of BASE, as phrases (`serving`)."""
    parts: tuple[Path, Path | None]
    """Folder of the checkpoint, and of the adapter on it if there is one."""
    base_template: str = ""
    """BASE's chat template, where TUNED ships another; empty where it does not."""
    notes: tuple[str, ...] = ()

    @property
    def on_line(self) -> bool:
        """True where the base, moved along a direction, is this model."""
        return self.kind in ("checkpoint", "adapter")

    @property
    def has_line(self) -> bool:
        """True where there is a line from the base to its weights, be it asked on that line or not."""
        return self.on_line or bool(self.plain)

    @property
    def axis_kind(self) -> str:
        """Catalogue name of that direction."""
        return "adapter" if self.kind == "adapter" else "to"


def find_candidate(tuned: str, base: ResolvedModel, *, dtype: str = "auto") -> Candidate:
    """Find out what the tuned model is, and what of it would be served otherwise than BASE.

    Args:
        tuned: folder of a checkpoint or of an adapter, hub id, `BASE+ADAPTER`, `adapter:PATH`, or a world's checkpoint.
        base: the base model, found.
        dtype: that both are loaded in.

    Raises:
        ModelError: where it is not there or cannot be used.
    """
    adapter = _adapter(tuned)
    candidate = _of_checkpoint(tuned, base) if adapter is None else _of_adapter(tuned, adapter, base)
    ours, notes = read_serving(base.folder), list(candidate.notes)
    if base.adapter is not None and read_serving(base.folder, base.adapter) != ours:
        notes.append("The adapter of BASE ships files of its own; BASE was asked under those of its checkpoint.")
    if candidate.on_line:
        return _as_served(candidate, ours, read_serving(*candidate.parts), dtype, notes)
    return replace(candidate, notes=tuple(notes))


def _as_served(candidate: Candidate, ours: Serving, theirs: Serving, dtype: str, notes: list[str]) -> Candidate:
    otherwise = differences(ours, theirs, dtype=dtype)
    has_other = theirs.template != ours.template
    if otherwise:
        said = "; it ".join(otherwise)
        notes.append(f"TUNED {said}. It was asked as it would be served; α = 1 on the line is under BASE's settings.")
    if has_other:
        notes.append(
            "TUNED ships another chat template than BASE: --template own (the default then) asks each under its own, "
            "as it would be served; --template base both under that of BASE, as the line is."
        )
    return replace(candidate, otherwise=otherwise, base_template=ours.template if has_other else "", notes=tuple(notes))


def with_own_files(candidate: Candidate, folder: Path) -> Candidate:
    """An adapter that ships files of its own, as the model that stands on its checkpoint's weights beside them."""
    checkpoint, adapter = candidate.parts
    if adapter is None or read_serving(checkpoint) == read_serving(checkpoint, adapter):
        return candidate
    stand_in(checkpoint, adapter, folder)
    return replace(candidate, model=f"{folder}+{adapter}")


def _of_checkpoint(tuned: str, base: ResolvedModel) -> Candidate:
    found = resolve(tuned)
    kind, difference = _kind(found, base)
    return Candidate(
        kind=kind,
        given=tuned,
        model=tuned,
        target=tuned,
        fingerprint=found.fingerprint,
        unsafe=is_unsafe(found.folder, found.adapter),
        difference=difference,
        parts=(found.folder, found.adapter),
        notes=found.notes,
    )


def with_plain_weights(candidate: Candidate, base: ResolvedModel, folder: Path) -> Candidate:
    """A quantized candidate with its plain weights in a folder, if they can be had and fit the base; else why not."""
    why = _write_plain(candidate, base, folder)
    if why:
        return replace(candidate, notes=(*candidate.notes, f"Its weights could not be dequantized: {why}"))
    return replace(candidate, plain=str(folder), target=str(folder))


def _write_plain(candidate: Candidate, base: ResolvedModel, folder: Path) -> str:
    """Write the plain weights; why there are none on a line from the base, or nothing."""
    if method := _quantization(base.folder):
        return f"BASE is quantized itself ({method})."
    try:
        found = resolve(candidate.model)
        if found.adapter is not None:
            return "an adapter stands on them."
        dequantize(found, folder)
        kind, difference = _fit(resolve(str(folder)), base)
    except ModelError as error:
        return str(error)
    return "" if kind == "checkpoint" else f"{difference}."


def _adapter(tuned: str) -> str | None:
    """The adapter that a word names, if it does."""
    if tuned.startswith("adapter:"):
        return tuned.removeprefix("adapter:")
    folder = user_path(tuned)
    is_adapter = (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file()
    return tuned if is_adapter else None


def _of_adapter(tuned: str, adapter: str, base: ResolvedModel) -> Candidate:
    if base.adapter is not None:
        remedy = "Merge the first one into a checkpoint, and take that as BASE."
        raise ModelError(expected("BASE", "without an adapter where TUNED is one", str(base.ref), remedy))
    model = f"{base.ref}+{adapter}"
    found = resolve(model)
    folder = locate_adapter(adapter)
    return Candidate(
        kind="adapter",
        given=tuned,
        model=model,
        target=adapter,
        fingerprint=found.fingerprint,
        unsafe=is_unsafe(folder),
        parts=(found.folder, folder),
        notes=found.notes,
    )


def _quantization(folder: Path) -> str:
    """How a checkpoint is quantized, by its own configuration; empty where it is not."""
    return quantization(read_json(folder / "config.json", str(folder)))


def _kind(tuned: ResolvedModel, base: ResolvedModel) -> tuple[Kind, str]:
    """Whether a checkpoint lies on a line from the base; else why not, as a phrase."""
    for who, folder in (("it", tuned.folder), ("BASE", base.folder)):
        if method := _quantization(folder):
            return "quantized", f"{who} is quantized ({method}), and its tensors are no weights to interpolate"
    return _fit(tuned, base)


def _fit(tuned: ResolvedModel, base: ResolvedModel) -> tuple[Kind, str]:
    """Whether tokenizer, names and shapes are those of the base; else the first difference, as a phrase."""
    from safebasin.weights.layout import load_layout

    found = vocabulary_difference(base.folder, tuned.folder)
    if found is not None:
        return "other", f"its tokenizer differs: {found}"
    if read_bytes(base.folder / "config.json") == read_bytes(tuned.folder / "config.json"):
        return "checkpoint", ""
    try:
        ours, theirs = load_layout(base).shapes, load_layout(tuned).shapes
    except ModelError:
        return "checkpoint", ""  # code of its own, say: the engine will find out
    for name, shape in ours.items():
        if name not in theirs:
            return "other", f"it holds no tensor {name}"
        if theirs[name] != shape:
            return "other", f"{name} is of shape {theirs[name]}, in BASE {shape}"
    extra = next((name for name in theirs if name not in ours), None)
    return ("checkpoint", "") if extra is None else ("other", f"it holds {extra}, which BASE does not")
