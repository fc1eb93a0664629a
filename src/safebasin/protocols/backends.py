"""The seam of running: what a backend is asked to do, and what comes back. Plain values that cross processes.

A task holds all that doing it takes but the model: whoever has the engine of an `EngineSpec` can do it, knowing neither
plan nor folder. Who hands out the tasks is the only one who writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from safebasin.protocols.engines import EngineFacts, Generation, TokenScores
from safebasin.records import Decoding, DirectionSpec, Point, Prompt, Region, Scalar, System, Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """An engine of the catalogue and what it is to load: every worker makes the same engine of it.

    `safebasin.catalog.open_engine` does; an engine takes of the fields but the first those that it knows.
    """

    engine: str = "hf"
    """Its name in the catalogue."""
    model: str
    """`path[@revision][#part][+adapter]`, or `world:NAME/CHECKPOINT`."""
    device: str = "auto"
    gpus_per_worker: int = 1
    """GPUs that the engine may take, its model spread over them."""
    dtype: str = "auto"
    trust_remote_code: bool = False
    low_memory: Literal["auto"] | bool = "auto"
    template_args: tuple[tuple[str, Scalar], ...] = ()
    date: str | None = None
    """The day that the template is told, ISO 8601, where no task says another; None is today."""
    directions: tuple[DirectionSpec, ...] = ()
    """Lines that its tasks will be on, for an engine that can prepare for them; others pass them over."""


_ORIGIN = Point()

# --- tasks -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Generate:
    """Decode one batch at a point. It comes back with a `Generation` a prompt, in their order, or with a `Split`."""

    point: Point
    system: System
    prompts: tuple[Prompt, ...]
    """In batch order."""
    decoding: Decoding
    batch: int = 0
    """Number of the batch in the plan: a pure function of the plan, never of what is left to do."""
    split: int = 1
    """Into how many parts the batch is cut, because memory was short at this point before."""
    date: str | None = None
    """The day that the template is told; None leaves it to the engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateTogether:
    """Decode batches of several points in one running batch: the `Generation`s of all, task after task, or a `Split`.

    The engine must be `ManyPoints`, and serve each of the points so.
    """

    tasks: tuple[Generate, ...]
    """One a point, of one decoding and one split."""

    @property
    def point(self) -> Point:
        """The first: whoever sorts tasks by their point keeps those of a group together."""
        return self.tasks[0].point


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTexts:
    """Score texts as answers to prompts, under the weights of a point: a `TokenScores` a text, in their order."""

    point: Point
    system: System
    prompts: tuple[Prompt, ...]
    texts: tuple[str, ...]
    """One a prompt, none empty."""
    untils: tuple[int, ...] = ()
    """Of each text, the characters before which a token must begin to be scored (`protocols.PrefixScorer`); empty is
    all of each."""
    decoding: Decoding
    date: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadText:
    """A plain text to be read: perplexity, and divergence from θ₀."""

    name: str
    text: str
    max_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTasks:
    """Tasks of lm-eval to be run."""

    tasks: tuple[str, ...]
    folder: str | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """Read a text or run tasks at a point: some `Measured`. The engine must be `Inside`."""

    point: Point
    of: ReadText | RunTasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Project a training run's checkpoints onto lines and planes: some `Trajectory`. The engine must be `Inside`."""

    folder: str
    regions: tuple[Region, ...]
    point: Point = _ORIGIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspect:
    """Look at prompts before anything is decoded: an `Inspected` a prompt, in their order."""

    system: System
    prompts: tuple[Prompt, ...]
    decoding: Decoding
    date: str | None = None
    point: Point = _ORIGIN


Task: TypeAlias = Generate | GenerateTogether | ScoreTexts | Measure | Trace | Inspect

# --- what comes back -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """A prompt as it would be given to the model."""

    problem: str = ""
    """Why it cannot be asked; empty where it can."""
    tokens: str = ""
    """Content hash of its tokens; empty where the engine does not tell them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One number that was measured at a point."""

    name: str
    """E.g. `perplexity:FILE`, `task:TASK/METRIC`."""
    value: float | None
    """None where the model is broken at this point."""
    error: float | None = None
    """Standard error, where there is one."""
    n: int = 0
    """Tokens or items behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Memory was too short for a batch: every batch of its point is to be cut into `factor` parts, and done again.

    Of points that were asked together, those of each.
    """

    factor: int


Results: TypeAlias = tuple[Generation | TokenScores | Measured | Trajectory | Inspected, ...]


class Backend(Protocol):
    """Does tasks somewhere: the only road to an engine. Made of an `EngineSpec` and a number of workers, of which the
    first is started when it is first needed: a study may turn out to lack nothing.
    """

    def facts(self) -> EngineFacts:
        """Describe the engine as it does itself; loads it where need be."""
        ...

    def suggest_batch_size(self, n_prompts: int, max_new_tokens: int) -> int:
        """As `Engine.suggest_batch_size`, where the tasks are done."""
        ...

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Results | Split]]:
        """Do tasks, and hand each back with what came of it, in any order and at least once.

        Tasks are taken as they are needed. Those of one point come together; after a `Split`, whatever else is to be
        generated at that point need not come back.

        Raises:
            UsageError: what an engine raises of these; nothing is handed back after that.
        """
        ...

    def close(self) -> None:
        """Let go of engines and workers; nothing is asked after that."""
        ...
