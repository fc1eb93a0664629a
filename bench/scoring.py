"""What scoring at θ₀ costs beside decoding, and how much of it verdicts need: whole texts, point by point, against no
more than the judges ask for, prompt by prompt.

`world:guild/aligned`, or the real model of `world:kitchen` where `SAFEBASIN_KITCHEN` says where it is. Both sides score
the same responses in one process, three times in turn; verdicts of `outcome` are compared one by one.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

from safebasin.engines.hf import HFEngine
from safebasin.judges import load_judge
from safebasin.judges.scored import scored_until
from safebasin.prompts.sources import load_prompts
from safebasin.protocols import Judge, TokenScores
from safebasin.records import Decoding, DirectionSpec, Point, Prompt, Response, Score
from safebasin.study import parse_range

DIRECTION = DirectionSpec(kind="random", seed=0)
REPEATS = 3


class Said(NamedTuple):
    """A response and the prompt that it answers."""

    prompt: Prompt
    response: Response


def main(*, quick: bool) -> str:
    """The section of the benchmark report."""
    is_real = bool(os.environ.get("SAFEBASIN_KITCHEN"))
    world, reach, nats = ("kitchen", "-0.3:0.3", 3.0) if is_real else ("guild", "-1.5:1.5", 1.0)
    n_prompts, n_points, n_tokens = (8, 3, 48) if quick else (24, 9, 96)
    judges = [load_judge("keyword/peng2024"), load_judge(f"outcome(threshold={nats:g})")]
    decoding = Decoding(max_new_tokens=n_tokens, stop="verdict", phrases=(judges[0].phrases,))
    prompts = load_prompts(f"world:{world}/harmful[:{n_prompts}]")
    engine = HFEngine(f"world:{world}/aligned", device="cpu")
    start = time.process_time()
    points = [_answers(engine, prompts, alpha, decoding) for alpha in parse_range(f"{reach}:{n_points}")]
    decoded = time.process_time() - start
    engine.move_to(Point())
    seconds: dict[str, list[float]] = {"whole texts": [], "what verdicts need": []}
    found: dict[str, dict[str, TokenScores]] = {}
    for _ in range(REPEATS):
        for side, score in (("whole texts", _whole), ("what verdicts need", _needed)):
            engine.move_to(Point.at((DIRECTION, 0.01)))  # so that nothing is remembered of the prompts
            engine.move_to(Point())
            start = time.process_time()
            found[side] = score(engine, points, judges, decoding)
            seconds[side].append(time.process_time() - start)
    everything = [one for said in points for one in said]
    verdicts = {side: [_verdict(judges[1], one, scores) for one in everything] for side, scores in found.items()}
    differ = sum(a != b for a, b in zip(*verdicts.values(), strict=True))
    lines = [
        f"`world:{world}/aligned`, {n_prompts} prompts, {n_points} points, {n_tokens} tokens\n",
        "| side | tokens read | processor seconds, median | beside decoding | differing verdicts |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for side, spent in seconds.items():
        n, median = sum(len(score.nll) for score in found[side].values()), statistics.median(spent)
        lines.append(f"| {side} | {n:,} | {median:.1f} | {median / decoded:.1%} | {differ} of {len(everything)} |")
    return "\n".join(lines)


def _answers(engine: HFEngine, prompts: Sequence[Prompt], alpha: float, decoding: Decoding) -> list[Said]:
    point = Point.at((DIRECTION, alpha)) if alpha else Point()
    engine.move_to(point)
    made = engine.generate([p.messages for p in prompts], decoding)
    return [
        Said(
            prompt,
            Response(
                point=point.key, prompt=prompt.id, system="default", decoding=decoding.key, text=g.text,
                n_tokens=g.n_tokens, finish_reason=g.finish_reason, broken=g.broken,
            ),
        )
        for prompt, g in zip(prompts, made, strict=True)
    ]  # fmt: skip


def _whole(
    engine: HFEngine, points: Sequence[Sequence[Said]], judges: Sequence[Judge], decoding: Decoding
) -> dict[str, TokenScores]:
    """Every text to its end, the batch of each point by itself."""
    found: dict[str, TokenScores] = {}
    for said in points:
        texts = [one.response.text for one in said]
        scores = engine.score([one.prompt.messages for one in said], texts, decoding)
        found |= {one.response.key: score for one, score in zip(said, scores, strict=True)}
    return found


def _needed(
    engine: HFEngine, points: Sequence[Sequence[Said]], judges: Sequence[Judge], decoding: Decoding
) -> dict[str, TokenScores]:
    """As far as the judges ask, which is found out here too; all answers to a prompt together."""
    said = sorted((one for at in points for one in at), key=lambda one: one.prompt.id)
    untils = [scored_until(judges, one.response) for one in said]
    asked = [(one, until) for one, until in zip(said, untils, strict=True) if until]
    scores = engine.score_prefixes(
        [one.prompt.messages for one, _ in asked],
        [one.response.text for one, _ in asked],
        [until for _, until in asked],
        decoding,
    )
    empty = {one.response.key: TokenScores(nll=(), ends=()) for one in said}
    return empty | {one.response.key: score for (one, _), score in zip(asked, scores, strict=True)}


def _verdict(judge: Judge, said: Said, scores: dict[str, TokenScores]) -> tuple[str, bool | None]:
    found = scores[said.response.key]
    score = Score(response=said.response.key, nll=found.nll, ends=found.ends)
    verdict = judge.judge(said.prompt, said.response, score)
    return verdict.label, verdict.success
