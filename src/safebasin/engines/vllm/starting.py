"""How vLLM is started with a model, and which of the errors on the way are its own. Loads no weight itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from safebasin.engines.vllm.plugin import BACKEND, register
from safebasin.errors import ModelError, SafebasinError, expected

__all__ = ["is_of_vllm", "said", "start"]

_EXTENSION = "safebasin.engines.vllm.worker.Regenerating"
_REFUSALS = (RuntimeError, ValueError, NotImplementedError, KeyError, AttributeError)
"""What vLLM raises where it cannot run a model."""


def start(
    folder: str,
    *,
    name: str,
    dtype: str,
    limit: int | None,
    eager: bool,
    gpus: int,
    transfers: bool,
    loras: Mapping[str, Any],
) -> Any:
    """Start vLLM with a model, its own tokenizer, generation settings and prefix cache left out.

    Eager on a processor: compiling takes minutes there and gains little. Over several GPUs its workers are children of
    this process, even in an actor of Ray, whose GPUs are already its own.

    Args:
        folder: of the checkpoint.
        name: of the model, as the user wrote it.
        dtype: of its weights.
        limit: the most tokens of prompt and response together.
        eager: whether nothing is compiled.
        gpus: over which each matrix is cut.
        transfers: whether points come by weight transfer.
        loras: of `adapters.Adapters.settings`.

    Raises:
        ModelError: where vLLM cannot load it so.
    """
    from vllm import LLM  # pyright: ignore[reportMissingImports]

    more = dict(loras)
    if gpus > 1:
        more |= {"tensor_parallel_size": gpus, "distributed_executor_backend": "mp"}
    if transfers:
        register()  # vLLM calls it too, but once a process: another may have kept it from doing so here
        more["weight_transfer_config"] = {"backend": BACKEND}
    try:
        return LLM(
            model=folder, dtype=dtype, max_model_len=limit, seed=0, skip_tokenizer_init=True, generation_config="vllm",
            enable_prefix_caching=False, worker_extension_cls=_EXTENSION, disable_log_stats=True,
            enforce_eager=eager, **more,
        )  # fmt: skip
    except (*_REFUSALS, TypeError) as error:
        if isinstance(error, TypeError) and not loras:  # with them it may be an older vLLM that knows no such setting
            raise
        remedy = f"({said(error)}) Use the engine hf."
        raise ModelError(expected("model of the engine 'vllm'", "one that vLLM can load", name, remedy)) from error


def is_of_vllm(error: Exception) -> bool:
    """Tell whether vLLM may have raised it over a model; one of its own processes sends a plain `Exception`."""
    return type(error) is Exception or (isinstance(error, _REFUSALS) and not isinstance(error, SafebasinError))


def said(error: BaseException) -> str:
    """The words of an exception, in a line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
