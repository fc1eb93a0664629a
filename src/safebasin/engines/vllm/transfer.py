"""A weight-transfer engine of vLLM to which no weight is transferred: it makes those of a point from the recipe.

vLLM's worker creates it with the model (`plugin` has registered it) and calls it for `LLM.update_weights`. It feeds the
layerwise reload that vLLM's own engines feed, with the tensors of `worker`: what the two roads load is the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from vllm.distributed.weight_transfer.base import (  # pyright: ignore[reportMissingImports]
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.model_executor.model_loader.reload import (  # pyright: ignore[reportMissingImports]
    finalize_layerwise_reload,
    initialize_layerwise_reload,
)

from safebasin.engines.vllm.worker import origin, point_of, repack_tied
from safebasin.weights.stream import Mover

__all__ = ["Origin", "Recipe", "Regenerated"]


@dataclass
class Origin(WeightTransferInitInfo):
    """The place that θ₀ is read from, as in `worker.origin`."""

    folder: str
    dtype: str
    adapter: str | None = None


@dataclass
class Recipe(WeightTransferUpdateInfo):
    """A point, as its `Point.recipe`: all that crosses."""

    recipe: str


class Regenerated(WeightTransferEngine):
    """Loads the weights of a point, computed from θ₀ in this worker, over those that are there."""

    init_info_cls = Origin
    update_info_cls = Recipe
    supports_draft_weight_update = False

    _mover: Mover | None = None

    def init_transfer_engine(self, init_info: Origin) -> None:
        """Read θ₀ into host memory."""
        self._mover = origin(init_info.folder, init_info.dtype, init_info.adapter)

    def start_weight_update(self) -> None:
        """Do nothing: layers are opened once the point is known to fit, so one that does not leaves them whole."""

    def receive_weights(self, update_info: Recipe) -> None:
        """Make the weights of a point and load them.

        Raises:
            UsageError: where a direction is not known, or does not fit the model; the weights are those of before.
        """
        if self._mover is None:
            raise RuntimeError("update_weights came before init_weight_transfer_engine")
        with torch.no_grad():
            tensors = self._mover.tensors(point_of(update_info.recipe))
            initialize_layerwise_reload(self.model)
            self.model.load_weights(tensors)
            finalize_layerwise_reload(self.model, self.model_config)
            repack_tied(self.model)

    def finish_weight_update(self) -> None:
        """Do nothing: each update is a whole point."""

    def shutdown(self) -> None:
        """Let go of θ₀."""
        self._mover = None
