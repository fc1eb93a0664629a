"""A tuned model after weight defenses: what its training moved, as they leave it, added to the weights before it.

The result is always a whole checkpoint: what a defense leaves of an adapter need not be of low rank. `defend` works on
what anybody has tuned, and writes record and card; after a training of ours, whoever trained writes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from safebasin import catalog
from safebasin.edits.record import write_edit
from safebasin.errors import UsageError, expected
from safebasin.models.reference import ResolvedModel, fingerprint, locate_adapter, resolve
from safebasin.models.writing import is_unsafe, new_folder
from safebasin.protocols import Defense, Delta, WeightDefense
from safebasin.records import DirectionSpec, Point
from safebasin.untrusted import user_path

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["DefendedModel", "defend", "find_tuned", "write_defended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DefendedModel:
    """A checkpoint that weight defenses left of a tuned model."""

    path: Path
    unsafe: bool
    """Whether the tuned model, or its base, is marked as made by an attack; a defense does not take that mark off."""
    notes: tuple[str, ...]
    """What the defenses say they did."""


def defend(
    tuned: str, base: ResolvedModel, defenses: Sequence[str | Defense], out: Path, *, seed: int = 0
) -> DefendedModel:
    """Write what weight defenses leave of a tuned model, with record and model card.

    Args:
        tuned: a checkpoint (`path[@revision][+adapter]`), or the folder of an adapter for the base.
        base: the model that was tuned.
        defenses: by name or ready made, applied in this order.
        out: a new or empty folder. It is written whole or not at all.
        seed: of what they draw.

    Raises:
        ModelError: where base and tuned model do not fit each other, or what comes of them is not finite.
        UsageError: where a defense is of another stage, cannot read such a move, or there is something in `out`.
    """
    workers = _weight_defenses(defenses)
    found = find_tuned(tuned, base)
    attacks = is_unsafe(found) if isinstance(found, Path) else is_unsafe(found.folder, found.adapter)
    names = [defense.name for defense in workers]
    with new_folder(out) as folder:
        notes = write_defended(base, found, workers, folder, seed=seed)
        details = {
            "tuned": tuned,
            "tuned_fingerprint": fingerprint(found) if isinstance(found, Path) else found.fingerprint,
            "defenses": names,
            "seed": seed,
            "notes": list(notes),
        }
        what = f"What {', '.join(names)} left of {tuned}, which was made from {base.ref}."
        text, title = f"{what} Whether it is safe was not asked.", "A tuned model after a defense"
        made = write_edit(folder, base, "defended", details, attacks=attacks, title=title, text=text)
    return DefendedModel(path=out, unsafe=made.unsafe, notes=notes)


def write_defended(
    base: ResolvedModel, tuned: ResolvedModel | Path, defenses: Sequence[WeightDefense], out: Path, *, seed: int = 0
) -> tuple[str, ...]:
    """Write base plus what the defenses leave of a training, with tokenizer and configuration, into a folder.

    In the dtype of the tuned checkpoint; where an adapter was trained, in that of the base.

    Args:
        base: what was trained, its adapter, if it has one, merged.
        tuned: the result: a checkpoint, or the folder of a LoRA adapter.
        defenses: applied in this order.
        out: folder to write into, there already.
        seed: of what they draw.

    Returns:
        What they say they did (`notes` of the moves that they return).

    Raises:
        ModelError: where a move does not fit the base, or what comes of it is not finite.
        UsageError: where a defense cannot read such a move.
    """
    from safebasin.models.loading import load_tokenizer
    from safebasin.models.quiet import quiet
    from safebasin.models.writing import save_model
    from safebasin.weights.adapters import read_adapter
    from safebasin.weights.base import HostWeights, check_finite
    from safebasin.weights.checkpoints import AdapterDelta, checkpoint_delta
    from safebasin.weights.layout import layout_of
    from safebasin.weights.stream import apply, weights_at

    before = _loaded(base)
    if isinstance(tuned, Path):
        module = before
        theta = HostWeights(module, folder=base.folder)
        moved: Delta = AdapterDelta(base=theta, adapter=read_adapter(tuned, layout_of(theta)))
    else:
        module = _loaded(tuned)
        theta = HostWeights(cast("Any", before).to(module.dtype), folder=base.folder, copy=False)
        moved = checkpoint_delta(tuned, theta)
    notes: list[str] = []
    for defense in defenses:
        moved = defense.weights(moved, theta, seed=seed)
        notes += getattr(moved, "notes", ())
    to = DirectionSpec(kind="to", normalize="none")  # a name for the move; nothing resolves it
    apply(weights_at(theta, Point.at((to, 1.0)), {to: moved}), module)
    check_finite(HostWeights(module, copy=False), "what a weight defense leaves")
    with quiet():
        save_model(module, out)
        load_tokenizer(base.folder, name=str(base.ref)).save_pretrained(out)
    return tuple(notes)


def _weight_defenses(defenses: Sequence[str | Defense]) -> list[WeightDefense]:
    """Raises: UsageError where there is none, or one of another stage."""
    if not defenses:
        raise UsageError(expected("defenses", "at least one", None, "Name one: safebasin list defense."))
    return [_weight_defense(defense) for defense in defenses]


def _weight_defense(given: str | Defense) -> WeightDefense:
    if isinstance(given, str):
        declared = catalog.declared_stage(given)
        if declared not in (None, "post_finetuning"):  # before what it lacks at its own stage is asked for
            raise _of_another_stage(given, declared)
    made = cast("Defense", catalog.create("defense", given)) if isinstance(given, str) else given
    if not hasattr(made, "weights"):
        raise _of_another_stage(made.name, made.stage)
    return cast("WeightDefense", made)


def _of_another_stage(name: str, stage: str) -> UsageError:
    remedy = "Those of rows and training are for finetune, those of inference for map and audit: their --defense."
    shown = f"{name} of the stage {stage}"
    return UsageError(expected("the defense", "one that works on weights (post_finetuning)", shown, remedy))


def find_tuned(tuned: str, base: ResolvedModel) -> ResolvedModel | Path:
    """A tuned model as a user names it: a checkpoint, or the folder of an adapter on the base itself.

    Raises:
        ModelError: where it is not there.
    """
    if (user_path(tuned) / "adapter_config.json").is_file():
        return locate_adapter(tuned)
    found = resolve(tuned)
    is_of_base = found.folder == base.folder and base.adapter is None
    return found.adapter if is_of_base and found.adapter is not None else found


def _loaded(model: ResolvedModel) -> PreTrainedModel:
    from safebasin.models.loading import load_weights
    from safebasin.weights.adapters import merge_adapter

    module: Any = load_weights(model)
    if model.adapter is not None:
        merge_adapter(module, model.adapter)
    return cast("PreTrainedModel", module)
