"""Fast mode: a side beside the published protocol, for `speed` and `landscape`; and a plane against its full grid.

A fast study is run as a user would, `measure` in an empty folder, loading, pilot and sample in exact mode included. It
is judged by `keyword/peng2024` alone, as the other sides are.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from safebasin import stats, study
from safebasin.landscape.results import read_landscape
from safebasin.landscape.stored import StoredStudy
from safebasin.records import Landscape
from safebasin.run.execute import measure
from safebasin.study.fast import in_full

JUDGE = "keyword/peng2024"
PLANE = "-1.5:1.5:21"


@dataclass(frozen=True)
class Run:
    """One run of a study: seconds by the clock, tokens decoded in its parts, what it found."""

    seconds: float
    tokens: dict[str, int]
    landscape: Landscape

    def value(self, name: str) -> float:
        """A statistic of its panel, NaN where it is undefined."""
        found = self.landscape.summary[name].value
        return math.nan if found is None else found


def run(**fields: Any) -> Run:
    """Measure a study in a folder that is thrown away."""
    fields = {"judges": [JUDGE], "device": "cpu", "dtype": "float32", **fields}
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        made = measure(study.make(fields), Path(folder) / "study")
        seconds = time.perf_counter() - start
        with StoredStudy.open(made) as stored:
            plan = stored.plan
            parts = {"map": plan.decoding}
            if plan.exact is not None:
                parts = {"pilot": in_full(plan), **parts, "sample": plan.exact}
            by_key = {decoding.key: name for name, decoding in parts.items()}  # a pilot of no use is part of the map
            tokens = {name: sum(r.n_tokens for r in stored.store.responses(key)) for key, name in by_key.items()}
            return Run(seconds, tokens, read_landscape(stored))


def beside_published(
    model: str,
    limits: tuple[int, int],
    spread: str,
    refused: Mapping[tuple[float, int], bool],
    seconds: float,
    *,
    repetitions: int,
) -> str:
    """A table of fast mode beside the published protocol, which covered the grid once.

    Args:
        model: of both.
        limits: prompts, and new tokens.
        spread: the grid, `LO:HI:N`.
        refused: by the published protocol, by (α, number of the prompt).
        seconds: that it took.
        repetitions: of fast mode.
    """
    n_prompts, max_new_tokens = limits
    alphas = study.parse_range(spread)
    asr = [1 - statistics.fmean(refused[alpha, i] for i in range(n_prompts)) for alpha in alphas]
    reach = stats.radius(np.asarray(alphas), np.asarray(asr))
    margin = stats.margin(np.asarray(alphas), np.asarray(asr))
    runs = [
        run(
            model=model,
            fast=True,
            prompts=f"{model.split('/')[0]}/harmful",
            limit=n_prompts,
            axes=[{"range": spread, "directions": 1}],
            decoding={"max_new_tokens": max_new_tokens},
        )
        for _ in range(repetitions)
    ]
    return table(
        runs,
        seconds,
        math.nan if margin is None else margin,
        math.nan if reach is None else reach.value,
        step=alphas[1] - alphas[0],
        size=len(alphas),
    )


def table(runs: Sequence[Run], seconds: float, margin: float, radius: float, *, step: float, size: int) -> str:
    """Fast runs beside one that took so many seconds and found this margin and radius."""
    ratios = [seconds / one.seconds for one in runs]
    first = runs[0]
    fast = first.landscape.fast
    assert fast is not None
    moved = 100 * (first.value("margin") - margin), first.value("radius") - radius
    tokens = ", ".join(f"{name} {n:,}" for name, n in first.tokens.items())
    each = ", ".join(f"{one.seconds:.1f}" for one in runs)
    columns = ("side", "seconds", "times faster, median (least–most)", "points", "Δmargin, points", "Δradius, cells")
    values = (
        "safebasin, `--fast`",
        each,
        f"{statistics.median(ratios):.1f} ({min(ratios):.1f}–{max(ratios):.1f})",
        f"{len(first.landscape.panels[0].points)} of {size}",
        f"{moved[0]:+.2f} (at most 2)",
        f"{moved[1] / step:+.2f} (at most 1)",
    )
    rows = (columns, ("---",) * len(columns), values)
    return (
        "\n".join(f"| {' | '.join(row)} |" for row in rows)
        + f"\n\nBudget {fast.budget} tokens of {fast.max_new_tokens}; tokens decoded: {tokens}. Its own agreement with "
        f"exact mode at {fast.points} points: {fast.checks[0].words()}."
    )


def main(*, quick: bool) -> str:
    """The section of the benchmark report: a random plane of the embedded model, fast mode against the full grid."""
    torch.set_num_threads(1)
    limit, tokens, spread = (6, 48, "-1.5:1.5:9") if quick else (40, 128, PLANE)
    fields = {
        "model": "world:guild/aligned",
        "limit": limit,
        "axes": [{"range": spread}, {"range": spread}],
        "decoding": {"max_new_tokens": tokens},
    }
    full = run(**fields)
    runs = [run(fast=True, **fields) for _ in range(1 if quick else 3)]
    alphas = study.parse_range(spread)
    found = table(
        runs,
        full.seconds,
        full.value("margin"),
        full.value("radius"),
        step=alphas[1] - alphas[0],
        size=len(alphas) ** 2,
    )
    told = f"A random plane, {limit} prompts, {tokens} tokens; exact mode on the full grid {full.seconds:.1f} s"
    return f"{told}.\n\n{found}"
