"""Directions that come from other files: the difference to a checkpoint, of two checkpoints, or ΔW of a LoRA adapter.

On `ToCheckpoint`, α = 1 is the checkpoint bit for bit. None is normalized or has exclusions: norm layers move too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from safebasin.errors import ModelError, expected
from safebasin.models.loading import check_extra, load_weights
from safebasin.models.reference import ResolvedModel, locate_adapter, resolve
from safebasin.models.vocabulary import vocabulary_difference
from safebasin.protocols import BaseWeights, Delta
from safebasin.records import DirectionSpec
from safebasin.weights.adapters import AdapterFiles, read_adapter
from safebasin.weights.base import HostWeights, MappedWeights, check_finite, matching_files, stored_shapes
from safebasin.weights.layout import Layout, layout_of, load_layout, row_blocks
from safebasin.weights.selection import matches, selected
from safebasin.weights.target_text import task_models

__all__ = ["Adapter", "AdapterDelta", "CheckpointDelta", "TaskDelta", "TaskVector", "ToCheckpoint", "checkpoint_delta"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointDelta:
    """θ₁ − θ₀ in float64."""

    base: BaseWeights
    other: BaseWeights
    only: str | None = None
    adapter: AdapterFiles | None = None
    """Merged into the other checkpoint, in the dtype of θ₀."""

    def moves(self, name: str) -> bool:
        """Tell whether α = 1 has to be θ₁ bit for bit in this tensor."""
        return matches(name, self.only)

    def reached(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows of θ₁."""
        rows = self.other.rows(name, start, stop)
        if self.adapter is None:
            return rows
        return self.adapter.added_to(name, start, stop, rows.to(self.base.rows(name, start, stop).dtype))

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        """Rows of the difference in float64."""
        if not self.moves(name):
            return None
        return self.reached(name, start, stop).double() - self.base.rows(name, start, stop).double()


class ToCheckpoint:
    """The difference to another checkpoint of the same names, shapes and tokenizer. No normalization, no exclusion.

    The other checkpoint stays in its files; where these do not hold the module's tensors one to one, it is loaded.
    """

    def prepare(self, spec: DirectionSpec, base: BaseWeights) -> Delta:
        """Find the other checkpoint's tensors and check that they fit.

        Raises:
            ModelError: naming the first difference, or the tensor that is not finite.
            StudyError: where `only` matches nothing.
        """
        selected(spec, base, drawn=False)
        return checkpoint_delta(resolve(spec.target or ""), base, only=spec.only)


def checkpoint_delta(target: ResolvedModel, base: BaseWeights, *, only: str | None = None) -> CheckpointDelta:
    """The difference to a checkpoint that has been found.

    Raises:
        ModelError: naming the first difference, or the tensor that is not finite.
    """
    layout = layout_of(base)
    folder = getattr(base, "folder", None)
    if isinstance(folder, Path):
        _check_tokenizer(folder, target)
    other = _open(target, layout)
    adapter = read_adapter(target.adapter, layout) if target.adapter else None
    return CheckpointDelta(base=base, other=other, only=only, adapter=adapter)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDelta:
    """θ_tuned − θ_base in float64."""

    tuned: CheckpointDelta
    origin: CheckpointDelta

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        """Rows of the difference in float64."""
        if not self.tuned.moves(name):
            return None
        return self.tuned.reached(name, start, stop).double() - self.origin.reached(name, start, stop).double()


class TaskVector:
    """θ_tuned − θ_base of two other checkpoints, target `TUNED,BASE` (Ilharco et al. 2022, arXiv 2212.04089).

    Both have the names, shapes and tokenizer of θ₀. α = 1 adds what the tuning learned to θ₀, α = −1 takes it out.
    """

    def prepare(self, spec: DirectionSpec, base: BaseWeights) -> Delta:
        """Find the tensors of both and check that they fit.

        Raises:
            ModelError: naming the checkpoint and its first difference to θ₀, or the tensor that is not finite.
            StudyError: where the target is not two models, or `only` matches nothing.
        """
        selected(spec, base, drawn=False)
        tuned, origin = (checkpoint_delta(resolve(m), base, only=spec.only) for m in task_models(spec.target))
        return TaskDelta(tuned=tuned, origin=origin)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterDelta:
    """ΔW of an adapter in float64; for tensors that it replaces outright, the difference."""

    base: BaseWeights
    adapter: AdapterFiles
    only: str | None = None

    def moves(self, name: str) -> bool:
        """Tell whether α = 1 has to be the adapter's own tensor bit for bit: where it replaces one."""
        is_replaced = name in self.adapter.replaced and name not in self.adapter.low_rank
        return is_replaced and matches(name, self.only)

    def reached(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows of a tensor that the adapter replaces."""
        rows = self.adapter.new_rows(name, start, stop)
        if rows is None:
            raise KeyError(name)
        return rows

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        """Rows of ΔW in float64, or None where the adapter leaves the tensor alone."""
        if not matches(name, self.only):
            return None
        new, change = self.adapter.new_rows(name, start, stop), self.adapter.rows(name, start, stop)
        if new is None:
            return change
        moved = new.double() - self.base.rows(name, start, stop).double()
        return moved if change is None else moved + change


class Adapter:
    """ΔW of a LoRA adapter: how much of this adapter can be applied before safety goes?"""

    def prepare(self, spec: DirectionSpec, base: BaseWeights) -> Delta:
        """Read the adapter and check that it fits.

        Raises:
            ModelError: where it is not plain LoRA, or made for another model.
            StudyError: where `only` matches nothing.
        """
        selected(spec, base, drawn=False)
        adapter = read_adapter(locate_adapter(spec.target or ""), layout_of(base))
        return AdapterDelta(base=base, adapter=adapter, only=spec.only)


# --- what fits -------------------------------------------------------------------------------------------------------


def _check_tokenizer(folder: Path, target: ResolvedModel) -> None:
    found = vocabulary_difference(folder, target.folder)
    if found is not None:
        remedy = "Points between models that read text differently mean nothing; take one with the same tokenizer."
        raise ModelError(expected(f"checkpoint '{target.ref}'", "one with the model's own tokenizer", found, remedy))


def _open(target: ResolvedModel, layout: Layout) -> BaseWeights:
    """θ₁ from its files where they match one to one; else as transformers loads it, in a host copy."""
    files = matching_files(layout, target.folder)
    extra = stored_shapes(target.folder).keys() - layout.shapes.keys() - layout.aliases.keys()
    if isinstance(files, str) or extra:
        # Transformers knows whether what else the files hold is a weight, or a buffer that some old release stored.
        _check_layout(load_layout(target), layout, target)
    if isinstance(files, str):
        return HostWeights(load_weights(target), folder=target.folder, copy=False)
    check_extra(target, extra)
    mapped = MappedWeights(layout, files, folder=target.folder, stored=True)
    check_finite(mapped, f"weights of {target.ref}")
    _check_tied(mapped, layout, target)
    return mapped


def _check_tied(mapped: MappedWeights, layout: Layout, target: ResolvedModel) -> None:
    """A checkpoint that holds a tied tensor under its second name too must hold the same there."""
    stored = stored_shapes(target.folder)
    for alias, name in layout.aliases.items():
        if alias not in stored:
            continue
        second = Layout(shapes={alias: stored[alias][1]}, dtypes={alias: layout.dtypes[name]})
        untied = MappedWeights(second, {alias: stored[alias][0]}, folder=target.folder, stored=True)
        for start, stop in row_blocks(mapped.shape(name)):
            if not torch.equal(untied.rows(alias, start, stop), mapped.rows(name, start, stop)):
                raise _unfit(target, f"tied as the model is ({alias} = {name})", f"{alias} of its own")


def _check_layout(found: Layout, layout: Layout, target: ResolvedModel) -> None:
    for name, shape in layout.shapes.items():
        if name not in found.shapes:
            raise _unfit(target, f"one that holds {name}", "no such tensor")
        if found.shapes[name] != shape:
            raise _unfit(target, f"of the same shapes ({name} is {shape})", found.shapes[name])
    extra = [name for name in found.shapes if name not in layout.shapes]
    if extra:
        raise _unfit(target, "one of the model's own tensors only", extra[0])


def _unfit(target: ResolvedModel, constraint: str, found: object) -> ModelError:
    remedy = "Take a checkpoint of the same model family and size."
    return ModelError(expected(f"checkpoint '{target.ref}'", constraint, found, remedy))
