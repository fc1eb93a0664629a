"""The backend in this process: one worker, task by task, in the order given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safebasin import catalog
from safebasin.errors import UsageError, expected
from safebasin.protocols import Engine, EngineFacts
from safebasin.protocols.backends import EngineSpec, Results, Split, Task
from safebasin.run.worker import Worker

__all__ = ["LocalBackend", "open_local"]


class LocalBackend:
    """Does tasks with an engine that is ready.

    Args:
        engine: nobody else moves it meanwhile.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._worker = Worker(engine)

    def facts(self) -> EngineFacts:
        """Describe the engine, as it does itself."""
        return self._engine.facts()

    def suggest_batch_size(self, n_prompts: int, max_new_tokens: int) -> int:
        """That of the engine."""
        return self._engine.suggest_batch_size(n_prompts, max_new_tokens)

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Results | Split]]:
        """Do one task after another."""
        for task in tasks:
            yield task, self._worker.do(task)

    def close(self) -> None:
        """Nothing: the engine is the caller's."""


def open_local(spec: EngineSpec, workers: int | None = None) -> LocalBackend:
    """One worker in this process, its model loaded.

    Raises:
        UsageError: where there should be several workers, or the engine cannot be opened.
    """
    if workers not in (None, 1):
        remedy = "Leave --workers out, or take --backend processes."
        raise UsageError(expected("--workers", "1 with the backend 'local'", workers, remedy))
    return LocalBackend(catalog.open_engine(spec))
