"""Points that are stopped before all prompts are asked: what it saves in fast mode, and what it does to intervals.

A random line of `world:guild/aligned`, 41 points, and a plane, 13 × 13: `--fast` as it is and with all prompts asked at
every point, in turn, one thread, beside exact mode on the full grid. Time is that of the processor.
Then landscapes of `bench/coverage.py`, stopped as a study is, and how often an interval of the margin, of the radius
and of a rate holds the truth.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from bench import coverage, fast
from safebasin.stats import complete_rows, stopping_bias
from safebasin.stats.intervals import interval
from safebasin.stats.landscape import Array
from safebasin.stats.sequences import sequence
from safebasin.study import parse_range, stages
from safebasin.study.stages import WIDTH

SPREAD = "-1.5:1.5:41"
JUDGES = ("keyword/peng2024",), ("keyword/peng2024", "outcome")


@contextmanager
def all_asked() -> Iterator[None]:
    """Within the block no point is stopped."""
    before = stages.FEWEST
    stages.FEWEST = 10**9
    stages.stages.cache_clear()
    try:
        yield
    finally:
        stages.FEWEST = before
        stages.stages.cache_clear()


@dataclass(frozen=True)
class Side:
    """One side: seconds of the processor of each repetition, and what the first found."""

    name: str
    seconds: Sequence[float]
    run: fast.Run


def measure(
    judges: Sequence[str], n_prompts: int, tokens: int, spread: str, repetitions: int, *, n_axes: int = 1
) -> str:
    """A table of three sides that take turns."""
    fields = {
        "model": "world:guild/aligned",
        "prompts": "world:guild/harmful",
        "limit": n_prompts,
        "judges": list(judges),
        "axes": [{"range": spread, "directions": 1} if n_axes == 1 else {"range": spread}] * n_axes,
        "decoding": {"max_new_tokens": tokens},
    }
    seconds: dict[str, list[float]] = {name: [] for name in ("exact mode", "`--fast`, all asked", "`--fast`")}
    found: dict[str, fast.Run] = {}
    for repetition in range(repetitions):
        for name, taken in seconds.items():
            if name == "exact mode" and repetition:
                continue  # once, for what it finds
            begun = time.process_time()
            if name == "`--fast`, all asked":
                with all_asked():
                    run = fast.run(fast=True, **fields)
            else:
                run = fast.run(**({"fast": True} if name == "`--fast`" else {}), **fields)
            taken.append(time.process_time() - begun)
            found.setdefault(name, run)
    alphas = parse_range(spread)
    return table([Side(name, seconds[name], run) for name, run in found.items()], alphas[1] - alphas[0])


def table(sides: Sequence[Side], step: float) -> str:
    """What each side took, and by how much it differs from the first."""
    exact = sides[0].run
    lines = [
        "| side | processor, seconds | responses | tokens | Δmargin, points | Δradius, cells |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for side in sides:
        run = side.run
        n = sum(cell.n_planned for panel in run.landscape.panels for cell in panel.points)
        moved = [run.value(name) - exact.value(name) for name in ("margin", "radius")]
        each = ", ".join(f"{s:.1f}" for s in side.seconds)
        lines.append(
            f"| {side.name} | {each} | {n:,} | {sum(run.tokens.values()):,} "
            f"| {100 * moved[0]:+.2f} | {moved[1] / step:+.2f} |"
        )
    slow, quick = sides[1].seconds, sides[2].seconds
    ratios = ", ".join(f"{a / b:.2f}" for a, b in zip(slow, quick, strict=True))
    told = sides[2].run.landscape.fast
    words = "nothing was left out" if told is None or told.left_out is None else told.left_out.words()
    return "\n".join(lines) + f"\n\nAll asked over stopped: {ratios}. With `--fast` {words}."


# --- coverage --------------------------------------------------------------------------------------------------------


def stopped(success: Array) -> NDArray[np.bool_]:
    """Which prompts are asked where points are stopped, the origin aside; prompts are drawn, so in any order."""
    size, origin = success.shape[2], success.shape[1] // 2
    asked = np.ones(success.shape, dtype=np.bool_)
    for direction, point in np.ndindex(success.shape[:2]):
        row, looks = success[direction, point], list[tuple[int, int, int]]()
        for n in () if point == origin else stages.stages(size):
            looks.append((n, int(row[:n].sum()), 0))
            found = sequence(looks, size)
            if found.high - found.low <= WIDTH + 1e-12:
                asked[direction, point, n:] = False
                break
    return asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Flat:
    """Landscapes without a rim: every verdict a success at the same rate, drawn by itself, as `coverage.Scenario`."""

    name: str
    n_directions: int
    n_prompts: int
    rate: float

    def draw(self, rng: np.random.Generator) -> Array:
        """Success at every direction, α and prompt, as floats; the origin is shared."""
        found = rng.random((self.n_directions, coverage.ALPHAS.size, self.n_prompts)) < self.rate
        origin = coverage.ALPHAS.size // 2
        found[:, origin] = found[0, origin]
        return found.astype(np.float64)

    def truth(self, functional: Callable[[Array], Array]) -> float:
        """The statistic for infinitely many prompts."""
        return float(functional(np.full((1, coverage.ALPHAS.size), self.rate)).mean())


def covered(scenario: coverage.Scenario | Flat, repetitions: int, *, seed: int = 0) -> list[str]:
    """Rows of a table: each statistic of landscapes that are asked whole, and of the same ones stopped."""
    # without a rim there is no radius
    functionals = {n: f for n, f in coverage.FUNCTIONALS.items() if n == "margin" or not isinstance(scenario, Flat)}
    bias = stopping_bias(stages.stages(scenario.n_prompts)[0])
    truths = {name: scenario.truth(functional) for name, (functional, _) in functionals.items()}
    rng, hits, widths = np.random.default_rng(seed), dict[tuple[str, bool], list[bool]](), dict[str, list[float]]()
    shares, held = list[float](), list[float]()
    for _ in range(repetitions):
        whole = scenario.draw(rng)
        asked = stopped(whole)
        parts = [
            np.stack([complete_rows(*row, off=off) for row in zip(np.where(asked, whole, np.nan), asked, strict=True)])
            for off in (0.0, bias, -bias)
        ]
        shares.append(1 - float(asked.mean()))
        held.append(_held(whole, asked))
        for name, (functional, upper) in functionals.items():
            for is_part, tables in ((False, [whole]), (True, parts)):
                found = [interval(success, functional, bounds=(0.0, upper)) for success in tables]
                low, high = min(one.low for one in found if one), max(one.high for one in found if one)
                hits.setdefault((name, is_part), []).append(low <= truths[name] <= high)
                widths.setdefault(f"{name}{is_part}", []).append(high - low)
    rows: list[str] = []
    for name in functionals:
        (whole_share, part_share) = (float(np.mean(hits[name, is_part])) for is_part in (False, True))
        error = math.sqrt(part_share * (1 - part_share) / repetitions)
        whole_width, part_width = (float(np.median(widths[f"{name}{is_part}"])) for is_part in (False, True))
        rows.append(
            f"| {scenario.name} | {scenario.n_directions} | {scenario.n_prompts} | {np.mean(shares):.0%} | {name} "
            f"| {whole_share:.1%} | {part_share:.1%} ± {error:.1%} | {whole_width:.3f} | {part_width:.3f} |"
        )
    rows.append(f"| | | | | a stopped rate, over the set | | {np.nanmean(held):.2%} | | |")
    return rows


def _held(whole: Array, asked: NDArray[np.bool_]) -> float:
    """The share of points that were stopped whose confidence sequence holds the rate of the whole set."""
    size, found = whole.shape[2], list[bool]()
    for direction, point in np.ndindex(whole.shape[:2]):
        n = int(asked[direction, point].sum())
        if n < size:
            row = whole[direction, point]
            one = sequence([(at, int(row[:at].sum()), 0) for at in stages.stages(size) if at <= n], size)
            found.append(one.low <= row.mean() <= one.high)
    return float(np.mean(found)) if found else math.nan


def main(*, quick: bool) -> str:
    """The section of the benchmark report."""
    torch.set_num_threads(1)
    sizes = (160, 48, "-1.5:1.5:9", 1) if quick else (400, 128, SPREAD, 3)
    parts = [f"Judges {', '.join(judges)}:\n\n{measure(judges, *sizes)}" for judges in JUDGES]
    plane = (160, 48, "-1.5:1.5:5", 1) if quick else (200, 128, "-1.5:1.5:13", 2)
    parts.append(f"A plane:\n\n{measure(JUDGES[0], *plane, n_axes=2)}")
    lines = [
        "| landscape | directions | prompts | left out | statistic | whole | stopped | width, whole | width, stopped |",
        "| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    base = coverage.SCENARIOS[0]
    for n_prompts in (200, 520):
        lines += covered(replace(base, n_prompts=n_prompts), 40 if quick else 1000)
    shoulders = replace(base, name="wide shoulders", n_prompts=200, prompt=0.12, cell=0.04)
    for scenario in (shoulders, replace(shoulders, name="wide shoulders, directions equal", direction=0.0, side=0.0)):
        lines += covered(scenario, 40 if quick else 1000)
    for n_directions, n_prompts in ((3, 200), (8, 520)):
        flat = Flat(name="flat, 2 %", n_directions=n_directions, n_prompts=n_prompts, rate=0.02)
        lines += covered(flat, 40 if quick else 200)
    return "\n\n".join([*parts, "\n".join(lines)])


if __name__ == "__main__":
    import sys

    print(main(quick="--quick" in sys.argv))
