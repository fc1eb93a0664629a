"""Progress for people who call the API: a bar on a terminal or in a notebook, nothing where nobody looks.

The command line has its own lines (`cli.output`); what both say of a step is `run.progress.describe`.
"""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from safebasin.run.progress import ProgressHook, Tick, describe, silent

__all__ = ["Progress", "TrainingProgress", "shown", "shown_training"]

TrainingHook: TypeAlias = Callable[[int, int, float], None]
"""Told of (step, steps, loss)."""
Progress: TypeAlias = ProgressHook | bool
"""A hook that is called with each `Tick`; True shows a bar where somebody sees it, False shows nothing."""
TrainingProgress: TypeAlias = TrainingHook | bool | None
"""The same of training; None is False."""

_PAUSE_S = 0.1
_WIDTH = 30


@contextmanager
def shown(progress: Progress) -> Generator[ProgressHook]:
    """The hook to call meanwhile; the bar, if it is one, ends with the block."""
    if callable(progress):
        yield progress
        return
    bar = _bar() if progress else None
    if bar is None:
        yield silent
        return
    with bar as show:
        yield lambda tick: show(tick.stage, tick.done, tick.total, _words(tick))


@contextmanager
def shown_training(progress: TrainingProgress) -> Generator[TrainingHook | None]:
    """The same for training, which tells of its steps."""
    if callable(progress):
        yield progress
        return
    bar = _bar() if progress else None
    if bar is None:
        yield None
        return
    with bar as show:
        yield lambda step, steps, loss: show("train", step, steps, f"{step}/{steps} steps · loss {loss:.4f}")


def _words(tick: Tick) -> str:
    return describe(tick).removeprefix(tick.stage).strip()


class _Shows(Protocol):
    def __call__(self, stage: str, done: int, total: int, words: str) -> None: ...


def _bar() -> Any:
    """What shows it here, as a context that gives a `_Shows`; None where there is neither a notebook nor a terminal."""
    display = _notebook()
    if display is not None:
        return _in_notebook(display)
    return _on_terminal() if sys.stderr is not None and sys.stderr.isatty() else None


def _notebook() -> Callable[..., Any] | None:
    """`IPython.display.display`, in a notebook. IPython is never imported: in a notebook it is there."""
    ipython: Any = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if getattr(shell, "kernel", None) is None:
        return None
    from importlib import import_module

    return import_module("IPython.display").display


@contextmanager
def _on_terminal() -> Generator[_Shows]:
    """A bar a stage on stderr, drawn when told: no thread of its own, which workers could inherit a lock of."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description:<9}"), BarColumn(_WIDTH), TextColumn("{task.fields[words]}"))
    with Bars(*columns, console=Console(stderr=True), auto_refresh=False) as bars:
        tasks: dict[str, Any] = {}
        last = 0.0

        def show(stage: str, done: int, total: int, words: str) -> None:
            nonlocal last
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total or None, words=words)
            now = time.monotonic()
            if done < total and now - last < _PAUSE_S:
                return
            last = now
            bars.update(tasks[stage], completed=done, total=total or None, words=words)
            bars.refresh()

        yield show
        bars.refresh()


@dataclass(frozen=True, slots=True)
class _Line:
    """A stage as a notebook shows it, or as text where the notebook is no page."""

    stage: str
    done: int
    total: int
    words: str

    def __repr__(self) -> str:
        full = _WIDTH * self.done // self.total if self.total else 0
        return f"{self.stage:<9} {'█' * full}{'░' * (_WIDTH - full)} {self.words}"

    def _repr_html_(self) -> str:
        bar = f'<progress value="{self.done}" max="{self.total}"></progress>' if self.total else ""
        return f"<div>{html.escape(self.stage)} {bar} {html.escape(self.words)}</div>"


@contextmanager
def _in_notebook(display: Callable[..., Any]) -> Generator[_Shows]:
    """A line a stage under the cell, replaced as it goes on."""
    handles: dict[str, Any] = {}
    latest: dict[str, _Line] = {}
    last = 0.0

    def show(stage: str, done: int, total: int, words: str) -> None:
        nonlocal last
        line = latest[stage] = _Line(stage, done, total, words)
        if stage not in handles:
            handles[stage] = display(line, display_id=True)
        now = time.monotonic()
        if done < total and now - last < _PAUSE_S:
            return
        last = now
        handles[stage].update(line)

    yield show
    for stage, line in latest.items():
        handles[stage].update(line)
