"""How a judge that asks reaches its model: a folder or a world runs here, any other name is asked of an endpoint."""

from __future__ import annotations

from safebasin import catalog
from safebasin.errors import UsageError, expected
from safebasin.judges.asked_judge import Chat
from safebasin.judges.endpoint import Endpoint, Patience
from safebasin.judges.local import LocalChat
from safebasin.judges.transport import Transport
from safebasin.untrusted import user_path

__all__ = ["choose_chat", "is_here", "is_number"]

MOST_PARALLEL, MOST_ATTEMPTS, LONGEST_S = 256, 100, 3600


def is_number(value: object) -> bool:
    """Tell whether an argument is a number: what a user writes may be any YAML scalar."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_here(model: str) -> bool:
    """Tell whether a model is one that runs in this process: a folder that exists, a world's checkpoint, or
    BASE+ADAPTER.
    """
    named = (model, *model.split("+", 1))
    return model.startswith("world:") or any(part and user_path(part).is_dir() for part in named)


def choose_chat(
    name: str,
    model: object,
    *,
    base_url: str | None,
    parallel: int,
    timeout: float,
    attempts: int,
    device: str,
    engine: str = "hf",
    here: bool | None = None,
) -> tuple[Chat, list[str]]:
    """The chat, and the arguments that belong into the judge's name.

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
    if model is None or not str(model).strip():
        remedy = f"Write {name}(model=NAME): a model of the endpoint, or a folder."
        raise UsageError(expected(f"model of {name}", "given", model, remedy))
    for what, value, most in (("parallel", parallel, MOST_PARALLEL), ("attempts", attempts, MOST_ATTEMPTS)):
        if not is_number(value) or not 1 <= value <= most or value != int(value):
            raise UsageError(expected(f"{what} of {name}", f"a whole number from 1 to {most}", value, "Mend it."))
    if not is_number(timeout) or not 0 < timeout <= LONGEST_S:
        constraint = f"a number of seconds above 0 and at most {LONGEST_S}"
        raise UsageError(expected(f"timeout of {name}", constraint, timeout, "Mend it."))
    text = str(model)
    local = is_here(text) if here is None else here
    if local and base_url is None:
        catalog.get("engine", str(engine))
        return LocalChat(text, device=device, engine=str(engine)), [
            f"model={text}",
            *([] if engine == "hf" else [f"engine={engine}"]),
        ]
    if engine != "hf":
        remedy = "Leave it out: an endpoint has an engine of its own."
        raise UsageError(expected(f"engine of {name}", "given for a model that runs here", engine, remedy))
    shown = [f"model={text}", *([f"base_url={base_url}"] if base_url else [])]
    transport = Transport(text, base_url=base_url, timeout_s=float(timeout))
    return Endpoint(transport, parallel=int(parallel), patience=Patience(attempts=int(attempts))), shown
