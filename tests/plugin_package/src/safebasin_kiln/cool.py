"""The defense `safebasin-kiln/cool`, at the stage finetuning: it changes how the model is trained."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import nn

from safebasin.protocols import RowSource, Setup


class Cool:
    """Layers that are not trained, and a pull that keeps the others near where they began.

    Args:
        layers: numbers of layers that stay as they are, such as `0` or `0 1`.
        pull: what the squared distance of the trained weights to their start is multiplied by, in the loss.
    """

    stage = "finetuning"
    takes = ()

    def __init__(self, layers: str = "0", pull: float = 0.1) -> None:
        self.name = f"safebasin-kiln/cool(layers={layers}, pull={pull})"
        self.layers = str(layers).split()
        self.pull = pull

    def training(self, setup: Setup, source: RowSource, *, seed: int = 0) -> Setup:
        """The setup with these layers frozen and a term added to the loss; the rows stay."""
        start: dict[str, torch.Tensor] = {}

        def loss(model: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
            trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
            for name, parameter in trained.items():
                start.setdefault(name, parameter.detach().clone())
            far = sum(((p - start[name]) ** 2).sum() for name, p in trained.items())
            return setup.loss(model, batch) + self.pull * far  # the loss that was there stays

        frozen = tuple(f"layers.{number}.*" for number in self.layers)
        return replace(setup, frozen=(*setup.frozen, *frozen), loss=loss)
