"""From encoded rows to what is trained with: the plain setup, then what each training defense makes of it.

Also how a module is held to it: parameters that stay, and modules that LoRA leaves alone. No training.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from safebasin.errors import UsageError, expected
from safebasin.protocols import Defense, RowSource, Setup, TrainingDefense

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

__all__ = ["cross_entropy", "freeze", "frozen_modules", "is_plain", "make_setup"]


def cross_entropy(model: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The loss of plain fine-tuning: mean of −log p over the labels of a batch, in nats, a scalar."""
    return cast("torch.Tensor", model(**batch).loss)


def make_setup(plain: Setup, defenses: Iterable[Defense], source: RowSource, *, seed: int) -> Setup:
    """The setup after all training defenses, in order; other defenses are passed over.

    Raises:
        UsageError: as `TrainingDefense.training`.
    """
    setup = plain
    for defense in defenses:
        if hasattr(defense, "training"):
            setup = cast("TrainingDefense", defense).training(setup, source, seed=seed)
    return setup


def is_plain(setup: Setup) -> bool:
    """Tell whether nothing of it has a memory of its own, so that a run can go on from a checkpoint."""
    return setup.loss is cross_entropy and not setup.hooks


def freeze(model: nn.Module, patterns: Sequence[str]) -> None:
    """Take the parameters that match out of the training.

    Raises:
        UsageError: where a pattern finds nothing, or nothing is left to train.
    """
    found = _frozen([name for name, _ in model.named_parameters()], patterns)
    for name, parameter in model.named_parameters():
        if name in found:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        _fail_all(patterns)


def frozen_modules(model: PreTrainedModel, patterns: Sequence[str]) -> list[str]:
    """Names of the linear layers of which a parameter stays: what LoRA must not adapt.

    Raises:
        UsageError: where a pattern finds nothing, or LoRA is left nothing.
    """
    found = {name.rpartition(".")[0] for name in _frozen([name for name, _ in model.named_parameters()], patterns)}
    head = model.get_output_embeddings()
    layers = [n for n, m in model.named_modules() if type(m).__name__ in ("Linear", "Conv1D") and m is not head]
    if layers and found.issuperset(layers):
        _fail_all(patterns)
    return [name for name in layers if name in found]


def _frozen(names: Sequence[str], patterns: Sequence[str]) -> frozenset[str]:
    from safebasin.weights.selection import matches

    for pattern in patterns:
        if not any(matches(name, pattern) for name in names):
            remedy = f"Names look like {names[len(names) // 2]!r}; see the arguments of the defense."
            raise UsageError(expected("what a defense freezes", "parameters of this model", pattern, remedy))
    return frozenset(name for name in names if any(matches(name, pattern) for pattern in patterns))


def _fail_all(patterns: Sequence[str]) -> None:
    remedy = "Freeze fewer."
    raise UsageError(expected("what a defense freezes", "less than the whole model", ", ".join(patterns), remedy))
