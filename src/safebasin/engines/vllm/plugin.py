"""What vLLM calls in each of its processes, of every user who has both installed: one name for its registry.

The entry point `safebasin` of `vllm.general_plugins`. It loads no module of ours, and never raises, since vLLM would
not start; what it names (`transfer`) is loaded where a configuration asks for it, which `engine` alone does.
"""

from __future__ import annotations

__all__ = ["BACKEND", "register"]

BACKEND = "safebasin"
"""The name of the weight-transfer engine in vLLM's registry and of the entry point."""


def register() -> None:
    """Put `transfer.Regenerated` into vLLM's registry of weight-transfer engines, where it has one; twice is once."""
    try:
        from vllm.distributed.weight_transfer.factory import (  # pyright: ignore[reportMissingImports]
            WeightTransferEngineFactory,
        )

        WeightTransferEngineFactory.register_engine(BACKEND, "safebasin.engines.vllm.transfer", "Regenerated")
    except (ImportError, AttributeError, TypeError, ValueError):
        return  # a vLLM without this registry, or one that has the name: `needs` says what follows
