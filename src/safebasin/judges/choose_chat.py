"""How a judge that asks reaches its model: a folder or a world runs here, any other name is asked of an endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from safebasin import catalog
from safebasin.errors import UsageError, expected
from safebasin.judges.asked_judge import Chat
from safebasin.judges.endpoint import Endpoint, Patience
from safebasin.judges.local import LocalChat
from safebasin.judges.transport import Transport
from safebasin.untrusted import user_path

__all__ = ["Attempts", "Parallel", "Seconds", "choose_chat", "is_here"]

Parallel = Annotated[int, Field(ge=1, le=256)]
"""Requests at a time."""
Attempts = Annotated[int, Field(ge=1, le=100)]
"""Requests for one question."""
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
"""For the whole of one request."""


def is_here(model: str) -> bool:
    """Tell whether a model is one that runs in this process: a folder that exists, a world's checkpoint, or
    BASE+ADAPTER.
    """
    named = (model, *model.split("+", 1))
    return model.startswith("world:") or any(part and user_path(part).is_dir() for part in named)


def choose_chat(
    name: str,
    model: str | None,
    *,
    base_url: str | None,
    parallel: Parallel = 8,
    timeout: Seconds = 60.0,
    attempts: Attempts = 6,
    device: str,
    engine: str = "hf",
    here: bool | None = None,
) -> tuple[Chat, Mapping[str, object]]:
    """The chat, and the arguments that belong into the judge's name, for `catalog.write_call`.

    Args:
        name: of the judge, for messages.
        model: as the user wrote it.
        base_url: an endpoint; given, the model is asked there.
        parallel: requests at a time.
        timeout: seconds for the whole of one request.
        attempts: requests for one question.
        device: for a model that runs here.
        engine: what runs a model here, by name.
        here: whether the model runs here; None decides by what it names.

    Raises:
        UnknownName: where there is no such engine.
        UsageError: where an argument does not hold.
    """
    if model is None or not model.strip():
        remedy = f"Write {name}(model=NAME): a model of the endpoint, or a folder."
        raise UsageError(expected(f"model of {name}", "given", model, remedy))
    local = is_here(model) if here is None else here
    if local and base_url is None:
        catalog.engine_row(engine)
        chat = LocalChat(model, device=device, engine=engine)
        return chat, {"model": model, "engine": None if engine == "hf" else engine}
    if engine != "hf":
        remedy = "Leave it out: an endpoint has an engine of its own."
        raise UsageError(expected(f"engine of {name}", "given for a model that runs here", engine, remedy))
    transport = Transport(model, base_url=base_url, timeout_s=timeout)
    chat = Endpoint(transport, parallel=parallel, patience=Patience(attempts=attempts))
    return chat, {"model": model, "base_url": base_url or None}
