"""Conformance of backends: every task is answered, by rows of its own, and a second time by the same."""

from __future__ import annotations

from collections.abc import Sequence

from safebasin.protocols import (
    Backend,
    EngineFacts,
    Generate,
    Generation,
    Results,
    ScoreTexts,
    Split,
    Task,
    TokenScores,
)
from safebasin.records import Decoding, DirectionSpec, Message, Point, Prompt, System
from safebasin.testing.claims import claim

_LINE = DirectionSpec(kind="random", seed=0)
_QUESTIONS = ("How is clay weighed?", "Which bell rings first in the morning?", "Name the salt yard.")


def small_tasks() -> tuple[Task, ...]:
    """A few tasks at three points, for any engine that moves."""
    prompts = tuple(Prompt(messages=(Message(role="user", content=text),)) for text in _QUESTIONS)
    system, decoding = System(name="default"), Decoding(max_new_tokens=8)
    points = [Point(), *(Point.at((_LINE, alpha)) for alpha in (0.5, -0.5))]
    batches = [
        Generate(point=point, system=system, prompts=part, decoding=decoding, batch=number)
        for point in points
        for number, part in enumerate((prompts[:2], prompts[2:]))
    ]
    texts = tuple(f"{text} Twice." for text in _QUESTIONS)
    scored = ScoreTexts(point=Point(), system=system, prompts=prompts, texts=texts, decoding=decoding)
    return (*batches, scored)


def check_backend(backend: Backend, tasks: Sequence[Task] = ()) -> None:
    """Check the contract of `safebasin.protocols.Backend`. It is left open.

    It tells facts and a batch size; each task comes back at least once, with one row per prompt in the order of the
    task; backwards and a second time the rows are the same.

    Args:
        backend: the backend, open.
        tasks: at least two, at different points, that fit into memory; small ones, since they are done twice. Some
            questions at three points if none are given.

    Raises:
        AssertionError: naming the first thing that does not hold.
    """
    asked = tuple(tasks) or small_tasks()
    claim(len({task.point for task in asked}) > 1, "tasks", "at two points or more", len(asked), "Pass more tasks.")
    facts = backend.facts()
    claim(isinstance(facts, EngineFacts) and facts.engine, "facts()", "those of its engine", facts, "Ask the engine.")
    size = backend.suggest_batch_size(2, 8)
    claim(isinstance(size, int) and size >= 1, "suggest_batch_size()", "a whole number ≥ 1", size, "Ask the engine.")
    first, again = _collect(backend, asked), _collect(backend, asked[::-1])
    for task in asked:
        claim(
            first[task] == again[task],
            f"rows of {_named(task)}",
            "the same whatever ran before",
            "other rows",
            "A point is the same alone or in a sweep.",
        )


def _named(task: Task) -> str:
    return f"{type(task).__name__} at {task.point.key}"


def _collect(backend: Backend, tasks: Sequence[Task]) -> dict[Task, Results]:
    found: dict[Task, Results] = {}
    for task, rows in backend.run(iter(tasks)):
        what = _named(task)
        claim(task in tasks, what, "one of the tasks given", task, "Yield the tasks as they came.")
        if isinstance(rows, Split):
            claim(False, what, "small enough for the memory", rows, "Pass smaller tasks.")
            continue
        _check_rows(task, rows)
        found[task] = rows
    missing = [task for task in tasks if task not in found]
    claim(not missing, "backend", "one that answers every task", missing[:1], "Yield each task, or raise.")
    return found


def _check_rows(task: Task, rows: Results) -> None:
    kind = {Generate: Generation, ScoreTexts: TokenScores}.get(type(task))
    if kind is None or not isinstance(task, Generate | ScoreTexts):
        return
    fits = isinstance(rows, tuple) and len(rows) == len(task.prompts) and all(isinstance(row, kind) for row in rows)
    constraint = f"a tuple of {len(task.prompts)} {kind.__name__}, one a prompt"
    claim(fits, f"rows of {_named(task)}", constraint, rows, "Hand on what the worker gives.")
