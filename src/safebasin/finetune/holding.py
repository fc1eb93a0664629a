"""Single weights that stay as they are while the others of their matrix train: those that an attribution chose.

Of Wei et al. (2024, arXiv 2402.05162, §4.3), who found that it does not protect: refusal is lost over other weights.
Not whole tensors, which `Setup.frozen` names. They are put back after each step, so that not a bit of them moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from safebasin.errors import UsageError, expected
from safebasin.protocols import RowSource, Setup, Stage
from safebasin.untrusted import user_path

if TYPE_CHECKING:
    import torch

__all__ = ["HeldWeights", "freeze_weights"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldWeights:
    """The weights of a mask are not trained."""

    mask: str
    """Folder of an attribution, as the user wrote it."""
    stage: Stage = field(default="finetuning", init=False)
    takes: tuple[str, ...] = field(default=(), init=False)

    @property
    def name(self) -> str:
        """As in the catalogue."""
        return f"freeze_weights(mask={self.mask})"

    def training(self, setup: Setup, source: RowSource, *, seed: int = 0) -> Setup:
        """The setup with these weights held; rows, loss and whole frozen tensors stay.

        Raises:
            UsageError: where there is no mask, it chooses nothing, or is of another model.
        """
        from safebasin.edits.attribution.masks import read_masks

        masks = {name: mask for name, mask in read_masks(user_path(self.mask)).items() if bool(mask.any())}
        unknown = next((name for name in masks if name not in setup.parameters), None)
        if unknown is not None or not masks:
            got = unknown or "no weight at all"
            remedy = "Take an attribution of the model that is trained."
            raise UsageError(expected(f"the mask of {self.name}", "of weights of this model", got, remedy))
        chosen, size = sum(int(m.sum()) for m in masks.values()), sum(m.numel() for m in masks.values())
        note = f"{chosen:,} of {size:,} weights of {len(masks)} matrices are not trained"
        return replace(setup, hooks=(*setup.hooks, _Hold(masks)), notes=(*setup.notes, note))


class _Hold:
    """Puts weights back after each step of the optimizer."""

    def __init__(self, masks: Mapping[str, torch.Tensor]) -> None:
        self._masks = dict(masks)
        self._kept: dict[str, torch.Tensor] = {}

    def before(self, model: Any, step: int) -> None:
        """Remember them at the first step, and take their gradients away, so that the optimizer counts on none.

        Raises:
            UsageError: where they are not trained weights of this module, as under LoRA.
        """
        for name, parameter in self._parameters(model):
            mask = self._masks[name] = self._masks[name].to(parameter.device)
            if name not in self._kept:
                self._kept[name] = parameter.detach()[mask].clone()
            if parameter.grad is not None:
                parameter.grad[mask] = 0

    def after(self, model: Any, step: int) -> None:
        """Put them back: weight decay moves what has no gradient, too."""
        for name, parameter in self._parameters(model):
            parameter.detach()[self._masks[name]] = self._kept[name]

    def _parameters(self, model: Any) -> list[tuple[str, torch.nn.Parameter]]:
        found = dict(getattr(model, "module", model).named_parameters())  # bare where it is wrapped for processes
        for name, mask in self._masks.items():
            parameter = found.get(name)
            if parameter is None or not parameter.requires_grad or parameter.shape != mask.shape:
                is_there = parameter is not None and parameter.requires_grad
                got = tuple(parameter.shape) if parameter is not None and is_there else "none that is trained"
                remedy = "Train all weights (--method full) of the model that was attributed, in unsharded tensors."
                raise UsageError(expected(f"{name}, of which weights are held,", "a trained weight", got, remedy))
        return [(name, found[name]) for name in self._masks]


def freeze_weights(mask: str) -> HeldWeights:
    """Hold the weights that an attribution chose while all others train (full fine-tuning only).

    Args:
        mask: folder that `safebasin attribute` made of the model that is trained.
    """
    return HeldWeights(mask=str(mask))
