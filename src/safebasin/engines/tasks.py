"""Tasks of lm-eval (extra `capability`) under the current weights of an engine in this process, in the same memory.

Not a task library: what a task asks, how it is scored and its name are lm-eval's (Gao et al., "A framework for few-shot
language model evaluation"). Prompts are the task's own, without a chat template, which is lm-eval's default.
"""

from __future__ import annotations

import copy
import difflib
import importlib
import importlib.util
import logging
import math
import os
import random
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from safebasin.errors import MissingExtra, ModelError, StudyError, expected
from safebasin.models.tokens import context_length
from safebasin.protocols import Engine, Inside
from safebasin.untrusted import user_path

__all__ = ["TaskResult", "TaskRunner", "run_tasks"]

_BOOTSTRAP = 1000
"""Resamples for the standard error of metrics that have no closed form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """One metric of one task, or of a group of tasks that lm-eval averages."""

    task: str
    metric: str
    """lm-eval's name, such as `acc`; with a filter that is not the default, `exact_match,strict-match`."""
    value: float | None
    """In the metric's own unit (accuracies in [0, 1]); None where the model is broken at this point."""
    stderr: float | None
    """Standard error as lm-eval gives it; None where it gives none."""
    n: int
    """Items."""
    broken: str = ""


class TaskRunner:
    """Tasks loaded once, to be run at many points: loading them takes longer than many a run.

    A folder's YAML files may name Python functions, which then run, as in lm-eval itself: give only folders you trust.
    Paths of data in them are relative to the working directory, as in lm-eval itself.

    Args:
        engine: must be `safebasin.protocols.Inside` too.
        tasks: names of tasks, groups or tags.
        folder: with tasks of one's own; lm-eval's own are looked up (some seconds) only if a name is not in it.
        limit: at most this many items of each task, from its start; None takes all.
        seed: of few-shot examples and whatever else a task draws.
        batch_size: rows of one forward pass. It fixes the batches, so keep it for all points of a study.

    Raises:
        MissingExtra: where lm-eval is not installed.
        ModelError: where the engine's model is not at hand.
        StudyError: where a task does not exist, or cannot be loaded: data that are not here, a broken YAML file.
    """

    def __init__(
        self,
        engine: Engine,
        tasks: Sequence[str],
        *,
        folder: str | Path | None = None,
        limit: int | None = None,
        seed: int = 0,
        batch_size: int = 8,
    ) -> None:
        if not isinstance(engine, Inside):
            constraint, kind = "one whose model is in this process where tasks are to run", type(engine).__name__
            raise ModelError(expected("engine", constraint, kind, "Leave out the tasks."))
        if importlib.util.find_spec("lm_eval") is None:
            raise MissingExtra("a study with tasks of lm-eval", "lm-eval", "capability")
        self._engine, self._limit, self._seed = engine, limit, seed
        with _quiet(), _seeded(seed):
            self._leaves, self._tasks, self._groups = _load(tuple(dict.fromkeys(tasks)), folder)
            self._model = _wrapped(engine, batch_size)

    def run(self) -> tuple[TaskResult, ...]:
        """Run every task under the engine's current weights; twice at one point gives the same.

        A group that lm-eval averages gives its averages; any other group, or a tag, gives each of its tasks.

        Raises:
            StudyError: where a task refuses to run (code that must be confirmed, images).
            MemoryError: where a batch does not fit.
        """
        evaluate = _lm_eval("evaluator").evaluate
        for task in self._tasks.values():
            task.set_fewshot_seed(seed=self._seed)
        with self._engine.lend() as (model, _), _counted(model) as broken, _quiet(), _seeded(self._seed):
            try:
                found = evaluate(
                    lm=self._model,
                    task_dict={"tasks": self._tasks, "groups": self._groups},
                    limit=self._limit,
                    bootstrap_iters=_BOOTSTRAP,
                    log_samples=False,
                )
            except ValueError as error:  # code that must be confirmed, images, no items
                raise _unusable("tasks", list(self._leaves), error, "Leave it out.") from error
        reason = "nan or inf logits" if broken else ""
        rows = found["results"]
        wanted = [row for name, leaves in self._leaves.items() for row in ([name] if name in rows else leaves)]
        return tuple(r for name in dict.fromkeys(wanted) for r in _results(name, rows[name], reason))


def run_tasks(
    engine: Engine, tasks: Sequence[str], *, folder: str | Path | None = None, limit: int | None = None, seed: int = 0
) -> tuple[TaskResult, ...]:
    """`TaskRunner` for a single point: load the tasks and run them under the engine's current weights."""
    return TaskRunner(engine, tasks, folder=folder, limit=limit, seed=seed).run()


# --- loading ----------------------------------------------------------------------------------------------------------

_Loaded = tuple[dict[str, list[str]], dict[str, Any], dict[str, Any]]


def _load(names: Sequence[str], folder: str | Path | None) -> _Loaded:
    """(name asked for → names of its tasks, tasks by name, groups by name that lm-eval averages)."""
    if not names:
        raise StudyError(expected("tasks", "at least one task of lm-eval", [], "Name one, or leave out tasks."))
    manager = _manager(names, folder)
    leaves: dict[str, list[str]] = {}
    tasks: dict[str, Any] = {}
    groups: dict[str, Any] = {}
    for name in names:
        if name not in manager.all_tasks:
            near = difflib.get_close_matches(name, manager.all_tasks, n=3)
            hint = f"Did you mean {' or '.join(near)}?" if near else "`lm-eval ls tasks` lists its own."
            where = "lm-eval" if folder is None else f"{str(folder)!r} or lm-eval"
            raise StudyError(expected("task", f"a task of {where}", name, hint))
        with _as_study_error(name):
            found = manager.load([name])
        leaves[name] = list(found["tasks"])
        tasks |= found["tasks"]
        groups |= {n: g for n, g in found.get("groups", {}).items() if g.has_aggregation}
    for task in tasks.values():
        if task.get_config("num_fewshot") is None:
            task.set_config(key="num_fewshot", value=0)
    return leaves, tasks, groups


def _lm_eval(name: str) -> Any:
    """A module of lm-eval: imported where it is needed, and of no type, so that checks do not depend on the extra."""
    return importlib.import_module(f"lm_eval.{name}")


def _manager(names: Sequence[str], folder: str | Path | None) -> Any:
    """Of the folder alone where it has all names: to index lm-eval's own tasks takes seconds."""
    manager = _lm_eval("tasks").TaskManager
    if folder is None:
        return manager()
    path = user_path(folder)
    if not path.is_dir():
        raise StudyError(expected("folder of tasks", "an existing folder", str(folder), "Check the path."))
    own = manager(include_path=str(path), include_defaults=False)
    return own if set(names) <= set(own.all_tasks) else manager(include_path=str(path))


def _remedy() -> str:
    from huggingface_hub.constants import HF_HUB_OFFLINE

    if HF_HUB_OFFLINE:
        return "Its data are not on this machine: run it once without HF_HUB_OFFLINE, or use a folder of your own."
    return "Check the network, its YAML file, and the paths of its data."


@contextmanager
def _as_study_error(task: str) -> Generator[None]:
    """What lm-eval and datasets raise for a task that cannot be loaded, as one line."""
    from datasets.exceptions import DatasetsError
    from jinja2 import TemplateError
    from yaml import YAMLError

    errors = (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError)
    try:
        yield
    except (*errors, DatasetsError, TemplateError, YAMLError) as error:
        raise _unusable("task", task, error, _remedy()) from error


def _unusable(what: str, value: object, error: Exception, remedy: str) -> StudyError:
    reason = " ".join(str(error).split())[:200]
    return StudyError(expected(what, "usable with lm-eval", value, f"({reason}) {remedy}"))


# --- running ----------------------------------------------------------------------------------------------------------


def _wrapped(engine: Inside, batch_size: int) -> Any:
    """The engine's model as lm-eval wants it, with a tokenizer of its own: lm-eval gives it a padding token."""
    wrapper = _lm_eval("models.huggingface").HFLM
    with engine.lend() as (model, tokenizer):
        return wrapper(
            pretrained=model,
            tokenizer=copy.deepcopy(tokenizer),
            backend="causal",
            batch_size=batch_size,
            max_length=context_length(model.config, tokenizer),
        )


@contextmanager
def _counted(model: torch.nn.Module) -> Generator[list[str]]:
    """Notes every forward pass with a position whose best logit is not finite: lm-eval would score it as an answer."""
    broken: list[str] = []

    def look(module: torch.nn.Module, given: object, output: Any) -> None:
        if not bool(torch.isfinite(output.logits.amax(dim=-1)).all()):
            broken.append("pass")

    handle = model.register_forward_hook(look)
    try:
        yield broken
    finally:
        handle.remove()


@contextmanager
def _quiet() -> Generator[None]:
    """Keeps lm-eval and datasets from writing on the terminal, and from starting a pool of processes for each metric.

    lm-eval has no switch for its progress bars: their class is replaced where it looks it up.
    """
    import datasets

    logger = logging.getLogger("lm_eval")
    level, had_bars = logger.level, datasets.is_progress_bar_enabled()
    modules = [_lm_eval(name) for name in ("api.model", "api.task", "models.huggingface")]
    bars = [module.tqdm for module in modules]
    os.environ.setdefault("DISABLE_MULTIPROC", "1")
    logger.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    for module, bar in zip(modules, bars, strict=True):
        module.tqdm = partial(_silent, bar)
    try:
        yield
    finally:
        for module, bar in zip(modules, bars, strict=True):
            module.tqdm = bar
        if had_bars:
            datasets.enable_progress_bars()
        logger.setLevel(level)


def _silent(bar: Any, *args: object, **given: object) -> Any:
    return bar(*args, **{**given, "disable": True})


@contextmanager
def _seeded(seed: int) -> Generator[None]:
    """Seeds the global generators, which tasks may draw from; afterwards they are as they were."""
    ours, theirs = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng():
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(ours)
            np.random.set_state(theirs)  # noqa: NPY002


def _results(task: str, row: Mapping[str, object], broken: str) -> Generator[TaskResult]:
    """The metrics of one row of lm-eval's table: `acc,none` beside `acc_stderr,none`."""
    n = row.get("sample_len")
    for key, value in row.items():
        metric, comma, kind = key.partition(",")
        if not comma or metric.endswith("_stderr") or not isinstance(value, (int, float)):
            continue
        why = broken or ("" if math.isfinite(value) else "not a finite number")
        yield TaskResult(
            task=task,
            metric=metric if kind == "none" else key,
            value=None if why else float(value),
            stderr=None if why else _finite(row.get(f"{metric}_stderr,{kind}")),
            n=n if isinstance(n, int) else 0,
            broken=why,
        )


def _finite(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
