"""Speed of a whole landscape against the published protocol, both in one process, at equal verdicts.

`world:guild/aligned`, 80 prompts, 21 points, one direction, 512 new tokens, one thread. A repetition measures a third
of the grid, every third point, on both sides; three repetitions cover it all, and each gives a ratio. `--full`
measures the whole grid in every repetition.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch

from bench import fast, published
from safebasin import study
from safebasin.engines.hf import HFEngine
from safebasin.judges import load_judge
from safebasin.landscape.stored import StoredStudy
from safebasin.models.reference import resolve
from safebasin.prompts.sources import load_prompts
from safebasin.protocols import Judge
from safebasin.records import NOISE_VERSION, Decoding, DirectionSpec, Point, Prompt, Response
from safebasin.run.execute import measure as measure_study
from safebasin.study import parse_range
from safebasin.weights.stream import prepare

MODEL = "world:guild/aligned"
SPREAD = "-1.5:1.5:21"
ALPHAS = parse_range(SPREAD)
DIRECTION = DirectionSpec(kind="random", seed=0, version=NOISE_VERSION)
"""The first that a new study draws with seed 0, so that sides that are studies move along the same."""
NEAR_TIE = 1e-3
RULES = ("none", "verdict", "loop")


@dataclass(frozen=True)
class Side:
    """One side of a comparison: seconds, tokens decoded, verdicts by (α, prompt), smallest logit gaps."""

    seconds: float
    n_tokens: int
    refused: dict[tuple[float, int], bool]
    gaps: dict[tuple[float, int], float | None]


def measure(n_prompts: int, max_new_tokens: int, *, full: bool) -> str:
    """Run three repetitions; returns a Markdown table."""
    prompts = load_prompts(f"world:guild/harmful[:{n_prompts}]")
    rows: dict[str, list[tuple[Side, Side]]] = {rule: [] for rule in RULES}
    for repetition in range(3):
        alphas = ALPHAS if full else ALPHAS[repetition::3]
        base = baseline(prompts, alphas, max_new_tokens)
        for rule in RULES:
            rows[rule].append((base, ours(prompts, alphas, max_new_tokens, rule)))
    return f"{table(rows)}\n\n{fast_side(rows, MODEL, (n_prompts, max_new_tokens), SPREAD)}"


def fast_side(rows: dict[str, list[tuple[Side, Side]]], model: str, limits: tuple[int, int], spread: str) -> str:
    """Fast mode, which cannot be cut into thirds, beside all that the published protocol has measured."""
    bases = [base for base, _ in rows["none"]]
    refused = {key: said for base in bases for key, said in base.refused.items()}
    alphas = {alpha for alpha, _ in refused}
    grids = sum(len({alpha for alpha, _ in base.refused}) for base in bases) / len(alphas)  # `--full` covers it thrice
    seconds = sum(base.seconds for base in bases) / grids
    return fast.beside_published(model, limits, spread, refused, seconds, repetitions=len(bases))


def baseline(prompts: Sequence[Prompt], alphas: Sequence[float], max_new_tokens: int, *, model: str = MODEL) -> Side:
    """The published protocol."""
    engine = HFEngine(model, device="cpu", dtype="float32")
    delta = prepare([DIRECTION], engine.base)[DIRECTION]
    whole = {name: delta.rows(name, 0, (engine.base.shape(name) or (1,))[0]) for name in engine.base.names}
    direction = {name: rows for name, rows in whole.items() if rows is not None}
    conversations = [[{"role": m.role, "content": m.content} for m in p.messages] for p in prompts]
    start = time.perf_counter()
    done = published.run(resolve(model).folder, conversations, direction, alphas, max_new_tokens)
    seconds = time.perf_counter() - start
    refused = {(a, i): judge(prompts[i], text) for a, texts in done.texts.items() for i, text in enumerate(texts)}
    return Side(seconds=seconds, n_tokens=done.n_tokens, refused=refused, gaps={})


def ours(
    prompts: Sequence[Prompt], alphas: Sequence[float], max_new_tokens: int, rule: str, *, model: str = MODEL
) -> Side:
    """safebasin, loading included, in one batch of all prompts."""
    decoding = Decoding(max_new_tokens=max_new_tokens)
    if rule != "none":
        decoding = replace(decoding, stop=rule, phrases=(load_judge("keyword/peng2024").phrases,))
    start = time.perf_counter()
    engine = HFEngine(model, device="cpu", dtype="float32")
    refused: dict[tuple[float, int], bool] = {}
    gaps: dict[tuple[float, int], float | None] = {}
    n_tokens = 0
    for alpha in alphas:
        engine.move_to(Point.at((DIRECTION, alpha)))
        for i, found in enumerate(engine.generate([p.messages for p in prompts], decoding)):
            refused[alpha, i] = judge(prompts[i], found.text)
            gaps[alpha, i] = found.gap
            n_tokens += found.n_tokens
    return Side(seconds=time.perf_counter() - start, n_tokens=n_tokens, refused=refused, gaps=gaps)


def by_workers(
    source: str, alphas: Sequence[float], max_new_tokens: int, rule: str, *, model: str, workers: int
) -> Side:
    """The same as a user runs it with several engines on this machine: start, store and verdicts included.

    So is θ₀ where the grid lacks it, for a study measures it anyway.
    """
    fields = {
        "model": model,
        "device": "cpu",
        "dtype": "float32",
        "prompts": [{"name": "asked", "source": source}],
        "axes": [{"kind": "random", "seed": 0, "range": f"{alphas[0]}:{alphas[-1]}:{len(alphas)}", "directions": 1}],
        "decoding": {"max_new_tokens": max_new_tokens, "stop": rule},
        "judges": ["keyword/peng2024"],
    }
    prompts = load_prompts(source)
    numbers = {prompt.id: i for i, prompt in enumerate(prompts)}
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        made = measure_study(study.make(fields), Path(folder) / "study", backend="processes", workers=workers)
        seconds = time.perf_counter() - start
        with StoredStudy.open(made) as stored:
            said = list(stored.store.responses())
            where = {point.key: sum(alpha for _, alpha in point.terms) for point in stored.plan.points}
    at = {key: alpha for key, found in where.items() for alpha in alphas if math.isclose(found, alpha, abs_tol=1e-9)}
    told = [((at[r.point], numbers[r.prompt]), r) for r in said if r.point in at]
    return Side(
        seconds=seconds,
        n_tokens=sum(r.n_tokens for r in said),
        refused={place: judge(prompts[place[1]], r.text) for place, r in told},
        gaps={place: r.gap for place, r in told},
    )


def judge(prompt: Prompt, text: str) -> bool:
    """Whether the keyword judge calls a text refused."""
    response = Response(point="", prompt=prompt.id, system="", decoding="", text=text, n_tokens=0, finish_reason="stop")
    return _keyword_judge().judge(prompt, response, None).success is False


@cache
def _keyword_judge() -> Judge:
    return load_judge("keyword/peng2024")


def table(rows: dict[str, list[tuple[Side, Side]]]) -> str:
    """Ratios as median (least–most), and where verdicts differ."""
    lines = [
        "| side | seconds | tokens | times faster, median (least–most) | differing verdicts | near-ties of them |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    bases = [base for base, _ in rows["none"]]
    total = f"{sum(b.seconds for b in bases):.1f} | {sum(b.n_tokens for b in bases):,}"
    lines.append(f"| published protocol | {total} | 1 | | |")
    for rule, pairs in rows.items():
        ratios = [base.seconds / own.seconds for base, own in pairs]
        differ = [(own, key) for base, own in pairs for key in own.refused if own.refused[key] != base.refused[key]]
        ties = sum((own.gaps[key] or 0) < NEAR_TIE for own, key in differ)
        compared = sum(len(own.refused) for _, own in pairs)
        seconds, tokens = sum(o.seconds for _, o in pairs), sum(o.n_tokens for _, o in pairs)
        lines.append(
            f"| safebasin, `--stop {rule}` | {seconds:.1f} | {tokens:,} "
            f"| {statistics.median(ratios):.1f} ({min(ratios):.1f}–{max(ratios):.1f}) "
            f"| {len(differ)} of {compared} | {ties} |"
        )
    return "\n".join(lines)


def main(*, quick: bool, full: bool) -> str:
    """The section of the benchmark report."""
    torch.set_num_threads(1)
    n_prompts, max_new_tokens = (20, 128) if quick else (80, 512)
    return measure(n_prompts, max_new_tokens, full=full)
