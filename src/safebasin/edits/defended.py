"""A tuned model after weight defenses: what its training moved, as they leave it, added to the weights before it.

The result is always a whole checkpoint: what a defense leaves of an adapter need not be of low rank. Not the record of
it, which whoever trained writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from safebasin.models.reference import ResolvedModel, resolve
from safebasin.protocols import Delta, WeightDefense
from safebasin.records import DirectionSpec, Point

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["write_defended"]


def write_defended(
    base: ResolvedModel, tuned: Path, defenses: Sequence[WeightDefense], out: Path, *, seed: int = 0
) -> None:
    """Write base plus what the defenses leave of a training, with tokenizer and configuration, into a folder.

    In the dtype of the tuned checkpoint; where an adapter was trained, in that of the base.

    Args:
        base: what was trained, its adapter, if it has one, merged.
        tuned: folder of the result: a checkpoint or a LoRA adapter.
        defenses: applied in this order.
        out: folder to write into, there already.
        seed: of what they draw.

    Raises:
        ModelError: where a move does not fit the base, or what comes of it is not finite.
        UsageError: where a defense cannot read such a move.
    """
    from safebasin.models.loading import load_tokenizer
    from safebasin.models.quiet import quiet
    from safebasin.models.writing import save_model
    from safebasin.weights.adapters import read_adapter
    from safebasin.weights.base import HostWeights, check_finite
    from safebasin.weights.layout import layout_of
    from safebasin.weights.reached import AdapterDelta, checkpoint_delta
    from safebasin.weights.stream import apply, weights_at

    before = _loaded(base)
    if (tuned / "adapter_config.json").is_file():
        module = before
        theta = HostWeights(module, folder=base.folder)
        moved: Delta = AdapterDelta(base=theta, adapter=read_adapter(tuned, layout_of(theta)))
    else:
        module = _loaded(resolve(str(tuned)))
        theta = HostWeights(cast("Any", before).to(module.dtype), folder=base.folder, copy=False)
        moved = checkpoint_delta(resolve(str(tuned)), theta)
    for defense in defenses:
        moved = defense.weights(moved, theta, seed=seed)
    to = DirectionSpec(kind="to", target=str(tuned), normalize="none")  # a name for the move; nothing resolves it
    apply(weights_at(theta, Point.at((to, 1.0)), {to: moved}), module)
    check_finite(HostWeights(module, copy=False), "what a weight defense leaves")
    with quiet():
        save_model(module, out)
        load_tokenizer(base.folder, name=str(base.ref)).save_pretrained(out)


def _loaded(model: ResolvedModel) -> PreTrainedModel:
    from safebasin.models.loading import load_weights
    from safebasin.weights.adapters import merge_adapter

    module: Any = load_weights(model)
    if model.adapter is not None:
        merge_adapter(module, model.adapter)
    return cast("PreTrainedModel", module)
