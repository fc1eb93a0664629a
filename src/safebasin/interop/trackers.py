"""Experiment trackers behind one small protocol: trackio, wandb, TensorBoard and MLflow. Off unless asked for by name.

Where each writes is its own business, by its own environment variables (`TRACKIO_DIR`, `WANDB_MODE`,
`TENSORBOARD_LOGGING_DIR`, `MLFLOW_TRACKING_URI`); nothing here holds a key. What is told them says `tracking`.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import queue
import re
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from safebasin.errors import MissingExtra, UnknownName, UsageError, expected

__all__ = ["TRACKERS", "Tracker", "open_tracker"]

PROJECT = "safebasin"
PATIENCE = 60.0
"""Seconds that a tracker may take to begin, or to keep what it is told."""
LEAVE = 90.0
"""Seconds that it may take to end: a tracker that sends behind our back sends the rest then."""
Numbers = Mapping[str, float]
_T = TypeVar("_T")


class Tracker(Protocol):
    """A run of a tracker that has begun."""

    def log(self, numbers: Numbers, step: int) -> None:
        """Keep numbers of one step."""
        ...

    def close(self, *, failed: bool) -> None:
        """End the run, and say whether it came to its end."""
        ...


class _TensorBoard:
    modules = ("tensorboard", "torch.utils.tensorboard")

    def __init__(self, name: str, settings: Mapping[str, str]) -> None:
        folder = Path(os.environ.get("TENSORBOARD_LOGGING_DIR", "tensorboard")) / name
        folder.mkdir(parents=True, exist_ok=True)
        self._writer = _package("torch.utils.tensorboard", "tensorboard").SummaryWriter(str(folder))
        for key, value in settings.items():
            self._writer.add_text(key, value)

    def log(self, numbers: Numbers, step: int) -> None:
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self, *, failed: bool) -> None:
        self._writer.close()


class _Trackio:
    modules = ("trackio",)

    def __init__(self, name: str, settings: Mapping[str, str]) -> None:
        self._trackio = _package("trackio", "trackio")
        project = os.environ.get("TRACKIO_PROJECT", PROJECT)
        self._run = self._trackio.init(project=project, name=name, config=dict(settings), embed=False)

    def log(self, numbers: Numbers, step: int) -> None:
        self._run.log(dict(numbers), step=step)

    def close(self, *, failed: bool) -> None:
        self._trackio.finish()


class _Wandb:
    modules = ("wandb",)

    def __init__(self, name: str, settings: Mapping[str, str]) -> None:
        wandb = _package("wandb", "wandb")
        # its own patience is 90 s to begin, and without end to send the rest; what is unsent stays for `wandb sync`
        patience = {"init_timeout": PATIENCE - 15, "finish_timeout": LEAVE - 30}
        own = {name: value for name, value in patience.items() if f"WANDB_{name.upper()}" not in os.environ}
        quiet = wandb.Settings(console="off", silent=True, **own)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT), name=name, config=dict(settings), settings=quiet
        )
        self._run.define_metric("*", step_metric="step")

    def log(self, numbers: Numbers, step: int) -> None:
        self._run.log({**numbers, "step": step})  # its own steps may not go back

    def close(self, *, failed: bool) -> None:
        self._run.finish(exit_code=int(failed))


class _MLflow:
    modules = ("mlflow",)

    def __init__(self, name: str, settings: Mapping[str, str]) -> None:
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # a server that is not there is told at once
        self._mlflow = _package("mlflow", "mlflow")
        self._mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT))
        self._mlflow.start_run(run_name=name)
        self._mlflow.log_params({key: value[:500] for key, value in settings.items()})

    def log(self, numbers: Numbers, step: int) -> None:
        named = {re.sub(r"[^\w./ -]", "_", name): value for name, value in numbers.items()}
        self._mlflow.log_metrics(named, step=step)

    def close(self, *, failed: bool) -> None:
        self._mlflow.end_run("FAILED" if failed else "FINISHED")


TRACKERS: Mapping[str, Callable[[str, Mapping[str, str]], Tracker]] = {
    "trackio": _Trackio, "wandb": _Wandb, "tensorboard": _TensorBoard, "mlflow": _MLflow,
}  # fmt: skip
"""Name → what begins a run of a name, with settings; its `modules` are imported first. The name is also the extra's."""


def open_tracker(tracker: str, name: str, settings: Mapping[str, str]) -> Tracker:
    """Begin a run of a tracker.

    Args:
        tracker: its name.
        name: of the run.
        settings: what was run, for its table of runs.

    Raises:
        UnknownName: where there is no such tracker.
        MissingExtra: where it is not installed.
        UsageError: where it cannot begin: not reachable, not logged in, a folder that cannot be written to.
    """
    if tracker not in TRACKERS:
        raise UnknownName(expected("--track", f"one of {', '.join(TRACKERS)}", tracker, "Choose one of them."))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            for module in getattr(TRACKERS[tracker], "modules", ()):  # a slow disk is no tracker that does not answer
                _package(module, tracker)
        return _Patient(lambda: TRACKERS[tracker](name, settings))
    except UsageError:
        raise
    except Exception as error:  # whatever a tracker raises, nothing was run yet
        said = " ".join(str(error).split())[:200] or type(error).__name__
        remedy = f"({said}) Mend its settings, or leave --track out."
        raise UsageError(expected("--track", "a tracker that can be reached", tracker, remedy)) from error


class _Patient:
    """A tracker in a thread of its own, which is waited for so long and no longer; it prints nothing to stdout.

    A server that accepts and never answers would hold a run for minutes at every step. The thread does not keep the
    program from ending.
    """

    def __init__(self, begin: Callable[[], Tracker]) -> None:
        self._asked: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="safebasin-tracker", daemon=True).start()
        try:
            self._inner = self._wait(begin, PATIENCE)
        except BaseException:
            self._asked.put(None)
            raise

    def log(self, numbers: Numbers, step: int) -> None:
        self._wait(lambda: self._inner.log(numbers, step), PATIENCE)

    def close(self, *, failed: bool) -> None:
        try:
            self._wait(lambda: self._inner.close(failed=failed), LEAVE)
        finally:
            self._asked.put(None)

    def _work(self) -> None:
        while (call := self._asked.get()) is not None:
            call()

    def _wait(self, call: Callable[[], _T], seconds: float) -> _T:
        """Have it called in the thread.

        Raises:
            TimeoutError: where that takes longer.
        """
        answered: queue.SimpleQueue[tuple[_T | None, BaseException | None]] = queue.SimpleQueue()

        def work() -> None:
            try:
                answered.put((call(), None))
            except BaseException as error:
                answered.put((None, error))

        with contextlib.redirect_stdout(sys.stderr):  # stdout holds results
            self._asked.put(work)
            try:
                value, error = answered.get(timeout=seconds)
            except queue.Empty:
                raise TimeoutError(f"no answer within {seconds:g} s") from None
        if error is not None:
            raise error
        return cast(_T, value)


def _package(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtra("--track", name, extra) from error
