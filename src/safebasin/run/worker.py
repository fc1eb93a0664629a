"""What does tasks, wherever it is: one engine, and no knowledge of plan, folder or store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import assert_never

from safebasin.errors import ModelError, PromptError, expected
from safebasin.protocols import (
    Dated,
    Engine,
    Generation,
    Inside,
    Inspector,
    ManyPoints,
    PrefixScorer,
    TokenScores,
)
from safebasin.protocols.backends import (
    Generate,
    GenerateTogether,
    Inspect,
    Inspected,
    Measure,
    Measured,
    ReadText,
    Results,
    RunTasks,
    ScoreTexts,
    Split,
    Task,
    Trace,
)
from safebasin.records import Decoding, Message, Point, Prompt, Trajectory, content_hash

__all__ = ["Worker"]

Measurer = Callable[[], tuple[Measured, ...]]


class Worker:
    """Does one task after another with an engine; moves it where a task is at another point than the last.

    Args:
        engine: nobody else moves it meanwhile.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._at: Point | None = None
        self._measurer: tuple[ReadText | RunTasks, Measurer] | None = None

    def do(self, task: Task) -> Results | Split:
        """Do a task.

        Raises:
            UsageError: for what a user can mend, such as a prompt that alone is too large for the memory.
        """
        match task:
            case Generate():
                return self._generate(task)
            case GenerateTogether():
                return self._generate_together(task)
            case ScoreTexts():
                self._move(task.point, task.date)
                asked = [task.system.messages(prompt) for prompt in task.prompts]
                untils = task.untils or tuple(map(len, task.texts))
                return tuple(_scores(self._engine, asked, task.texts, untils, task.decoding))
            case Measure():
                return self._measure(task)
            case Trace():
                return _traced(self._engine, task)
            case Inspect():
                return self._inspect(task)
            case _:
                assert_never(task)

    def _move(self, point: Point, date: str | None = None) -> None:
        self._tell(date)
        if point != self._at:
            self._at = None  # a move that fails half-way leads nowhere
            self._engine.move_to(point)
            self._at = point

    def _tell(self, date: str | None) -> None:
        if date is not None and isinstance(self._engine, Dated):
            self._engine.set_date(date)

    def _generate(self, task: Generate) -> tuple[Generation, ...] | Split:
        self._move(task.point, task.date)
        size = -(-len(task.prompts) // task.split)
        found: list[Generation] = []
        try:
            for start in range(0, len(task.prompts), size):
                asked = [task.system.messages(prompt) for prompt in task.prompts[start : start + size]]
                found += self._engine.generate(asked, task.decoding)
        except MemoryError as error:
            return _smaller(size, task.split, error)
        return tuple(found)

    def _generate_together(self, task: GenerateTogether) -> tuple[Generation, ...] | Split:
        first = task.tasks[0]
        if not isinstance(self._engine, ManyPoints):
            constraint, kind = "one that answers at several points at once", type(self._engine).__name__
            raise ModelError(expected("engine", constraint, kind, "Let all workers have the same engine."))
        self._tell(first.date)
        self._at = None  # should it be left half-way
        found: list[list[Generation]] = [[] for _ in task.tasks]
        most = max(len(part.prompts) for part in task.tasks)
        size = -(-most // first.split)
        try:
            for start in range(0, most, size):
                parts = [
                    (rows, part, part.prompts[start : start + size])
                    for rows, part in zip(found, task.tasks, strict=True)
                ]
                parts = [(rows, part, prompts) for rows, part, prompts in parts if prompts]
                answers = self._engine.generate_together(
                    [part.point for _, part, _ in parts],
                    [[part.system.messages(prompt) for prompt in prompts] for _, part, prompts in parts],
                    first.decoding,
                )
                for (rows, _, _), answered in zip(parts, answers, strict=True):
                    rows += answered
        except MemoryError as error:
            return _smaller(size, first.split, error)
        self._at = Point()
        return tuple(generation for rows in found for generation in rows)

    def _inspect(self, task: Inspect) -> tuple[Inspected, ...]:
        if not isinstance(self._engine, Inspector):
            return tuple(
                Inspected(problem=_blind(prompt) if prompt.images and not self._reads_images() else "")
                for prompt in task.prompts
            )
        self._tell(task.date)
        found: list[Inspected] = []
        for prompt in task.prompts:
            if prompt.images and not self._reads_images():
                found.append(Inspected(problem=_blind(prompt)))
                continue
            try:
                ids = self._engine.inspect(prompt.name, task.system.messages(prompt), task.decoding)
            except PromptError as error:
                found.append(Inspected(problem=str(error)))
            else:
                found.append(Inspected(tokens=content_hash(list(ids)) if ids else ""))
        return tuple(found)

    def _reads_images(self) -> bool:
        return self._engine.facts().reads_images

    def _measure(self, task: Measure) -> tuple[Measured, ...]:
        if self._measurer is None or self._measurer[0] != task.of:
            self._measurer = None  # θ₀'s log-probabilities of the last text make room for those of this one
            self._move(Point())  # what is read is compared with θ₀
            self._measurer = task.of, _measurer(self._engine, task.of)
        self._move(task.point)
        return self._measurer[1]()


def _smaller(size: int, split: int, error: MemoryError) -> Split:
    """The answer to a batch of so many prompts that did not fit.

    Raises:
        ModelError: where there was one prompt alone.
    """
    if size > 1:
        return Split(factor=2 * split)
    remedy = "Use fewer new tokens, a smaller dtype, or another device."
    raise ModelError(expected("one prompt", "small enough for the memory", str(error), remedy)) from error


def _blind(prompt: Prompt) -> str:
    """The line on a prompt with an image, for an engine that reads none."""
    remedy = "Take a model that reads images, by its language tower (FOLDER#language), or prompts of text."
    constraint = "text alone for a model that reads no images"
    return expected(prompt.name, constraint, f"the image {prompt.images[0].name}", remedy)


def _scores(
    engine: Engine,
    asked: Sequence[Sequence[Message]],
    texts: Sequence[str],
    untils: Sequence[int],
    decoding: Decoding,
) -> list[TokenScores]:
    """Score texts, as far as is asked, under the weights that an engine has; in halves where they do not fit into
    memory.
    """
    try:
        if isinstance(engine, PrefixScorer):
            return engine.score_prefixes(asked, texts, untils, decoding)
        return engine.score(asked, texts, decoding)
    except MemoryError:
        if len(texts) == 1:
            raise
    half = len(texts) // 2
    parts = (slice(half), slice(half, None))
    return [one for p in parts for one in _scores(engine, asked[p], texts[p], untils[p], decoding)]


def _measurer(engine: Engine, wanted: ReadText | RunTasks) -> Measurer:
    """A function that measures what is wanted at the point where the engine stands; made while it stands at θ₀."""
    if isinstance(wanted, ReadText):
        return _text_measurer(engine, wanted)
    from safebasin.engines.tasks import TaskRunner

    runner = TaskRunner(engine, wanted.tasks, folder=wanted.folder, limit=wanted.limit)

    def run() -> tuple[Measured, ...]:
        return tuple(
            Measured(name=f"task:{result.task}/{result.metric}", value=result.value, error=result.stderr, n=result.n)
            for result in runner.run()
        )

    return run


def _text_measurer(engine: Engine, wanted: ReadText) -> Measurer:
    from safebasin.engines.perplexity import TextReader

    reader = TextReader(engine, wanted.text, name=wanted.name, max_tokens=wanted.max_tokens)

    def read() -> tuple[Measured, ...]:
        found = reader.measure()
        values = {"perplexity": found.perplexity, "nll": found.nll, "kl": found.kl, "agreement": found.agreement}
        return tuple(
            Measured(name=f"{kind}:{wanted.name}", value=value, n=found.n_tokens) for kind, value in values.items()
        )

    return read


def _traced(engine: Engine, task: Trace) -> tuple[Trajectory, ...]:
    if not isinstance(engine, Inside):
        constraint, kind = "one whose model is in this process where trajectories are to be read", type(engine).__name__
        raise ModelError(expected("engine", constraint, kind, "Leave out the trajectories."))
    from safebasin.weights.trajectory import project_run

    return tuple(project_run(Path(task.folder), task.regions, engine.base))
