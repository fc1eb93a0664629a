"""How a worker of vLLM is told of a point: by vLLM's own weight update, whose engine is ours, or by a reload.

Only a recipe is sent on either, and both load the same tensors by the same code of vLLM, so that the weights are equal
bit for bit.
"""

from __future__ import annotations

from typing import Any, Protocol

from safebasin.records import Point

__all__ = ["Reload", "Road", "Transfer"]


class Road(Protocol):
    """A way to the weights of a point, for one `vllm.LLM`."""

    name: str
    """As it stands in the facts of the engine."""

    def open(self, folder: str, dtype: str, adapter: str | None) -> None:
        """Have every worker read θ₀; as `worker.origin`."""
        ...

    def move(self, point: Point) -> None:
        """Have every worker load the weights of a point.

        Raises:
            UsageError: where a direction is not known, or does not fit the model; the weights are those of before.
        """
        ...


class Transfer:
    """By `LLM.update_weights` and the engine that `plugin` registers; answers carry the key of their point."""

    name = "weight transfer"

    def __init__(self, llm: Any) -> None:
        self._llm = llm

    def open(self, folder: str, dtype: str, adapter: str | None) -> None:
        """Have every worker's weight-transfer engine read θ₀."""
        self._llm.init_weight_transfer_engine({"init_info": {"folder": folder, "dtype": dtype, "adapter": adapter}})

    def move(self, point: Point) -> None:
        """Send the recipe as a weight update, and its key as the version."""
        self._llm.start_weight_update()
        self._llm.update_weights({"update_info": {"recipe": point.recipe}})
        self._llm.finish_weight_update(weight_version=point.key)


class Reload:
    """By methods that vLLM mixes into its workers (`worker.Regenerating`)."""

    name = "reload"

    def __init__(self, llm: Any) -> None:
        self._llm = llm

    def open(self, folder: str, dtype: str, adapter: str | None) -> None:
        """Have every worker read θ₀."""
        self._llm.collective_rpc("safebasin_open", args=(folder, dtype, adapter))

    def move(self, point: Point) -> None:
        """Send the recipe to a method of the worker."""
        self._llm.collective_rpc("safebasin_move", args=(point.recipe,))
