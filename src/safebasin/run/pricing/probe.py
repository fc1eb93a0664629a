"""Ten seconds on the machine at hand: how much of its peaks the model reaches, and how long its answers are.

A large product and a plain copy are the peaks. The model then reads some prompts and decodes a few tokens of each,
which are two times with two unknowns: the constants of the formula. What is left of the time goes to points of the
first direction, answered as the study asks: tokens of answers, and passes. Nothing is written.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from safebasin import memory
from safebasin.errors import ModelError, UsageError, expected
from safebasin.judges.scored import scored_until
from safebasin.models.sizes import ITEMSIZE, ModelSizes
from safebasin.protocols import Engine, Generation, Inspector, Judge
from safebasin.records import Decoding, Message, Point, Response
from safebasin.run.inputs import Inputs, load_engine
from safebasin.run.pricing.records import Lengths, Probed
from safebasin.run.pricing.work import cache_bytes, decode_flops, pass_bytes, read_flops
from safebasin.study.plan import Plan

__all__ = ["SECONDS", "Clock", "check_memory", "probe"]

Clock = Callable[[], float]

SECONDS = 10.0
"""That a probe takes, the model loaded; a single answer at the least may take longer."""
_ROWS = 16
"""Prompts that are asked, at most."""
_NEW = 8
"""Tokens that are decoded to see what a pass takes."""
_POINTS = 5
_LEAST = 8
"""The fewest tokens after which answers are cut."""


def check_memory(sizes: ModelSizes, dtype: str, *, low_memory: bool, device: str) -> None:
    """Refuse to load a model for a probe that this machine cannot hold.

    Raises:
        ModelError: where the weights are not there, or too large.
    """
    if sizes.stored_bytes is None:
        remedy = "Leave --probe out: sizes are told without them."
        raise ModelError(expected("model", "there with its weights where it is to be probed", "config.json", remedy))
    needed = sizes.parameters * ITEMSIZE[dtype] * (1 if low_memory else 2)
    free = memory.available()
    if needed > free and not device.startswith("cuda"):
        got = f"{needed / 2**30:.3g} GiB with θ₀, of {free / 2**30:.3g} free"
        remedy = "Leave --probe out, or take --low-memory, --dtype bfloat16 or a smaller model."
        raise ModelError(expected("model", "small enough for this machine where it is to be probed", got, remedy))


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a probe asks, and how it is counted."""

    sizes: ModelSizes
    dtype: str
    conversations: Sequence[Sequence[Message]]
    prompt: float
    shared: float

    @property
    def read(self) -> float:
        """Floating-point operations of reading the prompts."""
        n = len(self.conversations)
        return read_flops(self.sizes, n * self.prompt - (n - 1) * self.shared, self.prompt)

    def decoded(self, tokens: float) -> float:
        """Those of so many decoded tokens."""
        return decode_flops(self.sizes, tokens, self.prompt)

    def cached(self, tokens: float) -> float:
        """Bytes of the cache that they read."""
        before = self.prompt + tokens / len(self.conversations) / 2
        return cache_bytes(self.sizes, self.dtype, tokens, before)


def probe(inputs: Inputs, plan: Plan, sizes: ModelSizes, dtype: str, *, clock: Clock = time.perf_counter) -> Probed:
    """Load the model, and measure for ten seconds.

    Args:
        inputs: of the study.
        plan: of it.
        sizes: of its model.
        dtype: that it is computed in.
        clock: what time is told by, in seconds.

    Raises:
        UsageError: where the model cannot be used, or there is no prompt to ask.
    """
    prompts = list(plan.prompts.values())
    if not prompts:
        raise UsageError(expected("prompts", "there where a study is to be probed", 0, "Name --prompts."))
    step = max(1, len(prompts) // _ROWS)
    conversations = [plan.systems[0].messages(prompt) for prompt in prompts[::step][:_ROWS]]
    begun = clock()
    engine = load_engine(inputs.study, dtype)
    first = replace(plan.decoding, stop="none", phrases=(), rules=(), max_new_tokens=1)
    engine.generate(conversations, first)
    start = clock() - begun
    device = str(engine.facts().device)
    peak, bandwidth = _peak_flops(device, dtype, clock), _bandwidth(device, clock)
    # 1) Read, and read with a few tokens more: the two constants
    prompt, shared = _counted(engine, conversations, plan.decoding)
    asked = _Asked(sizes, dtype, conversations, prompt, shared)
    begun = clock()
    reading = _least(lambda: engine.generate(conversations, first), clock)
    longer = _least(lambda: engine.generate(conversations, replace(first, max_new_tokens=1 + _NEW)), clock)
    a_pass = max((longer[0] - reading[0]) / max(1, _longest(longer[1]) - 1), 1e-9)
    flops_s = asked.read / max(reading[0] - a_pass, 0.1 * reading[0])
    of_pass = asked.decoded(len(conversations)) / flops_s
    moved = pass_bytes(sizes, dtype) + asked.cached(len(conversations) * _NEW) / _NEW
    bytes_s = moved / max(a_pass - of_pass, 0.1 * a_pass)
    # 2) Answers at a few points, for the rest of the time
    answer, passes, scored, said = _answers(
        engine, asked, plan, inputs.judges, (flops_s, bytes_s), until=begun + SECONDS, a_pass=a_pass, clock=clock
    )
    return Probed(
        device=device,
        peak_flops=peak,
        bandwidth=bandwidth,
        compute_efficiency=flops_s / peak,
        bandwidth_efficiency=bytes_s / bandwidth,
        lengths=Lengths(prompt=prompt, shared=shared, answer=answer, passes=passes, scored=scored, said=said),
        start_seconds=start,
        seconds=clock() - begun,
    )


def _least(call: Callable[[], list[Generation]], clock: Clock) -> tuple[float, list[Generation]]:
    """The least time of two calls, and what the last gave."""
    _, first = _timed(call, clock)
    found, second = _timed(call, clock)
    return min(first, second), found


def _timed(call: Callable[[], list[Generation]], clock: Clock) -> tuple[list[Generation], float]:
    begun = clock()
    return call(), clock() - begun


def _longest(generations: Sequence[Generation]) -> int:
    return max((g.n_tokens for g in generations), default=1)


def _counted(engine: Engine, conversations: Sequence[Sequence[Message]], decoding: Decoding) -> tuple[float, float]:
    """Mean tokens of conversations as the model is given them, and how many all begin with."""
    from safebasin.engines.paced.reading import shared

    if not isinstance(engine, Inspector):
        texts = [sum(len(m.content) for m in one) for one in conversations]
        return sum(texts) / len(texts) / 4, 0.0
    ids = [list(engine.inspect(f"prompt {i}", one, decoding)) for i, one in enumerate(conversations)]
    return statistics.fmean(map(len, ids)), float(shared(ids) if all(ids) else 0)


def _answers(
    engine: Engine,
    asked: _Asked,
    plan: Plan,
    judges: Sequence[Judge],
    reached: tuple[float, float],
    *,
    until: float,
    a_pass: float,
    clock: Clock,
) -> tuple[float, float, float, tuple[str, ...]]:
    """Mean tokens of an answer, passes of a batch, the share of answers that is scored, and where they are from."""
    points = _spread(plan)
    weights: list[float] = []
    most = plan.decoding.max_new_tokens
    room = max(0.0, until - clock()) / len(points)
    cut = int(min(most, max(_LEAST, room / a_pass)))
    decoding = replace(plan.decoding, max_new_tokens=cut)
    lengths: list[float] = []
    passes: list[float] = []
    scored: list[float] = []
    for point, n_near in points.items():
        if lengths and clock() > until:
            break
        engine.move_to(point)
        found, seconds = _timed(lambda: engine.generate(asked.conversations, decoding), clock)
        if not lengths and seconds < room:  # what a judge compiles for its first refusals is no part of a pass
            found, seconds = _timed(lambda: engine.generate(asked.conversations, decoding), clock)
        # rows that were cut here are taken to go on to the end
        grown = [most if g.n_tokens >= cut else g.n_tokens for g in found]
        tokens = sum(g.n_tokens for g in found)
        spent = (asked.read + asked.decoded(tokens)) / reached[0]
        moved = (seconds - spent) * reached[1] - asked.cached(tokens)  # which the formula counts by itself
        taken = max(1.0, moved / pass_bytes(asked.sizes, asked.dtype))
        weights.append(n_near)
        scored.append(_scored(judges, plan, found))
        lengths.append(statistics.fmean(grown))
        longest = _longest(found)
        # rows that repeat themselves and rows that do not take turns with some models: up to twice as many
        passes.append(min(taken, 2.0 * longest) * (most / cut if longest >= cut else 1.0))
    said = f"answers: measured at {len(lengths)} points of one direction, {len(asked.conversations)} prompts each"
    if cut < most:
        said += f"; those that had not ended after {cut} tokens are counted as {most}"
    of_answers = [n * share for n, share in zip(lengths, scored, strict=True)]
    share = statistics.fmean(of_answers, weights) / max(statistics.fmean(lengths, weights), 1.0)
    return statistics.fmean(lengths, weights), statistics.fmean(passes, weights), share, (said,)


def _scored(judges: Sequence[Judge], plan: Plan, found: Sequence[Generation]) -> float:
    """The share of answers, by characters, that judges need scored."""
    system, decoding = plan.systems[0].id, plan.decoding.key
    texts = [
        Response(
            point="", prompt="", system=system, decoding=decoding, text=g.text, n_tokens=g.n_tokens,
            finish_reason=g.finish_reason,
        )
        for g in found if not g.broken
    ]  # fmt: skip
    return sum(scored_until(judges, r) for r in texts) / max(1, sum(len(r.text) for r in texts))


def _spread(plan: Plan) -> dict[Point, float]:
    """Points of the first direction, evenly chosen from one end to the other, and how many points each stands for.

    The ends, where answers are longest, stand for fewer than those between them. Only the origin where none is moved.
    """
    moved = [point for point in plan.points if point.terms]
    if not moved:
        return {Point(): 1.0}
    line = [p for p in moved if [spec for spec, _ in p.terms] == [spec for spec, _ in moved[0].terms]]
    line = sorted([*line, Point()], key=lambda p: [alpha for _, alpha in p.terms] or [0.0])
    n = min(_POINTS, len(line))
    places = [round(i * (len(line) - 1) / max(1, n - 1)) for i in range(n)]
    edges = [-0.5, *((a + b) / 2 for a, b in pairwise(places)), len(line) - 0.5]
    stands = {line[place]: right - left for place, (left, right) in zip(places, pairwise(edges), strict=True)}
    # the ends and the middle first, in case that time runs out
    return {line[place]: stands[line[place]] for place in (*places[::2], *places[1::2])}


# --- peaks -----------------------------------------------------------------------------------------------------------


def _peak_flops(device: str, dtype: str, clock: Clock) -> float:
    """FLOP/s of a product of large matrices."""
    import torch

    n = 4096 if device.startswith("cuda") else 1024
    a = torch.ones(n, n, dtype=getattr(torch, dtype), device=device)
    return 2 * n**3 / _fastest(device, lambda: a @ a, clock)


def _bandwidth(device: str, clock: Clock) -> float:
    """Bytes/s of a copy, those read and those written."""
    import torch

    a = torch.zeros(32 * 2**20, device=device)
    b = torch.empty_like(a)
    return 2 * a.nbytes / _fastest(device, lambda: b.copy_(a), clock)


def _fastest(device: str, call: Callable[[], Any], clock: Clock) -> float:
    """The least time of five calls."""
    import torch

    taken: list[float] = []
    for _ in range(6):
        begun = clock()
        call()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        taken.append(clock() - begun)
    return min(taken[1:])
