"""The backend that runs in this process: one engine, point by point, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from safebasin.errors import ModelError, expected
from safebasin.protocols import Delta, Engine, Generation, Job
from safebasin.records import Decoding, DirectionSpec, Message, Point, Response

if TYPE_CHECKING:
    from safebasin.study.plan import Plan


class LocalBackend:
    """Moves the engine from point to point and decodes the jobs there.

    A batch that does not fit into memory halves the batches of its whole point: `splits` remembers by what factor,
    `forget` drops what was already decoded there, so that all responses of a point come from batches of one size.
    """

    def __init__(
        self,
        engine: Engine,
        plan: Plan,
        *,
        splits: Mapping[str, int] | None = None,
        forget: Callable[[Point, int], None] | None = None,
    ) -> None:
        self.engine = engine
        self._plan = plan
        self._prompts = plan.prompts
        self._systems = {s.id: s for s in plan.systems}
        self._splits = dict(splits or {})
        self._forget = forget
        self._deltas: dict[DirectionSpec, Delta] = {}

    def run(self, jobs: Sequence[Job]) -> Iterable[tuple[Job, tuple[Response, ...]]]:
        """Decode the jobs; yields each batch as soon as it is there."""
        for _, group in groupby(jobs, key=lambda job: job.point.key):
            yield from self._run_point(list(group))

    def _run_point(self, jobs: list[Job]) -> Iterable[tuple[Job, tuple[Response, ...]]]:
        point = jobs[0].point
        self.move_to(point)
        while True:
            split = self._splits.get(point.key, 1)
            try:
                for job in jobs:
                    yield job, self._decode(job, split)
            except MemoryError as error:
                if split >= max(len(job.prompts) for job in jobs):
                    remedy = "Use fewer new tokens, a smaller dtype, or another device."
                    raise ModelError(
                        expected("one prompt", "small enough for the memory", str(error), remedy)
                    ) from error
                self._splits[point.key] = split * 2
                if self._forget is not None:
                    self._forget(point, split * 2)
                jobs = [job for job in self._plan.jobs() if job.point.key == point.key]
            else:
                return

    def move_to(self, point: Point) -> None:
        """Set the engine's weights to a point."""
        from safebasin.weights.stream import prepare, weights_at

        wanted = {spec for spec, _ in point.terms}
        self._deltas = {spec: delta for spec, delta in self._deltas.items() if spec in wanted}
        missing = [spec for spec in wanted if spec not in self._deltas]
        if missing:
            self._deltas |= prepare(missing, self.engine.base)
        self.engine.set_weights(weights_at(self.engine.base, point, self._deltas))

    def conversation(self, prompt: str, system: str) -> tuple[Message, ...]:
        """The messages that are sent for a prompt under a system prompt, both by id."""
        return self._systems[system].messages(self._prompts[prompt])

    def _decode(self, job: Job, split: int) -> tuple[Response, ...]:
        size = -(-len(job.prompts) // split)
        chunks = [job.prompts[i : i + size] for i in range(0, len(job.prompts), size)]
        found: list[Response] = []
        for chunk in chunks:
            conversations = [self.conversation(prompt, job.system) for prompt in chunk]
            generations = self.engine.generate(conversations, self._plan.decoding)
            found += [
                respond(job.point, prompt, job.system, self._plan.decoding, generation)
                for prompt, generation in zip(chunk, generations, strict=True)
            ]
        return tuple(found)


def respond(point: Point, prompt: str, system: str, decoding: Decoding, generation: Generation) -> Response:
    """The record of what an engine decoded."""
    return Response(
        point=point.key,
        prompt=prompt,
        system=system,
        decoding=decoding.key,
        text=generation.text,
        thinking=generation.thinking,
        n_tokens=generation.n_tokens,
        finish_reason=generation.finish_reason,
        broken=generation.broken,
        gap=generation.gap,
    )
