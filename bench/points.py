"""Setting a point against a plain copy of the same weights, and drawing noise: what a move costs beside decoding.

Four matrices of 4.2 M weights. A repetition times the copy and the point one after the other; each ratio is the median
of five. On one thread it is processor time, which other processes change little; else the clock.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import save_file

from safebasin.protocols import BaseWeights
from safebasin.records import DirectionSpec, Point
from safebasin.weights.base import HostWeights, MappedWeights
from safebasin.weights.directions import RandomDelta
from safebasin.weights.kept import KeptRows
from safebasin.weights.layout import Layout
from safebasin.weights.noise import elements
from safebasin.weights.stream import prepare_one, write

ONE = DirectionSpec(kind="random", version=2)
TWO = replace(ONE, index=1, orthogonal_to=(ONE,))
POINTS = {1: Point.at((ONE, 0.3)), 2: Point.at((ONE, 0.3), (TWO, -0.2))}
REPETITIONS = 5


def clock() -> float:
    """Seconds, of this process alone where it has one thread."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def timed(act: Callable[[], object]) -> float:
    """Seconds that it takes."""
    start = clock()
    act()
    return clock() - start


def setting(folder: Path, dtype: torch.dtype, *, mapped: bool) -> list[str]:
    """Rows of one kind of weights: one and two directions, what is drawn kept and not."""
    model = torch.nn.ModuleList([torch.nn.Linear(2048, 2048, bias=False, dtype=dtype) for _ in range(4)])
    model.requires_grad_(requires_grad=False)
    base: BaseWeights = HostWeights(model)
    if mapped:
        file = folder / f"{dtype}.safetensors"
        save_file({name: p.clone() for name, p in model.named_parameters()}, file)
        base = MappedWeights(Layout.of(model), dict.fromkeys(base.names, file), folder=folder)
    source = [p.clone() for p in model.parameters()]
    size, kind = sum(p.nbytes for p in source), MappedWeights.kind if mapped else HostWeights.kind

    def copy() -> None:
        for target, rows in zip(model.parameters(), source, strict=True):
            target.copy_(rows)

    def lines(n: int, *, kept: bool) -> str:
        deltas = {spec: _prepared(spec, base, kept=kept) for spec, _ in POINTS[n].terms}
        point = lambda: write(base, POINTS[n], deltas, model)  # noqa: E731
        point(), copy()
        pairs = [(timed(copy), timed(point)) for _ in range(REPETITIONS)]
        ratios = sorted(plain / ours for plain, ours in pairs)
        ours = statistics.median(seconds for _, seconds in pairs)
        of_copy = f"{100 * statistics.median(ratios):.0f} % ({100 * ratios[0]:.0f}–{100 * ratios[-1]:.0f})"
        named = f"{str(dtype).removeprefix('torch.')}, {kind} | {n} | {'kept' if kept else 'drawn'}"
        return f"| {named} | {2 * size / ours / 1e9:.2f} | {of_copy} |"

    return [lines(n, kept=kept) for kept in (True, False) for n in (1, 2)]


def _prepared(spec: DirectionSpec, base: BaseWeights, *, kept: bool) -> RandomDelta:
    """A direction with room for all its rows, or for none."""
    delta = cast("RandomDelta", prepare_one(spec, base))
    others = tuple((_with_room(cast("RandomDelta", other), kept=kept), table) for other, table in delta.others)
    return replace(_with_room(delta, kept=kept), others=others)


def _with_room(delta: RandomDelta, *, kept: bool) -> RandomDelta:
    return replace(delta, kept_rows=KeptRows(2**40 if kept else 0))


def drawing() -> str:
    """Version 2 against version 1, and two threads against one."""
    n = 2**23
    versions = [(timed(lambda: draw(1, n)), timed(lambda: draw(2, n))) for _ in range(REPETITIONS)]
    gain = statistics.median(first / second for first, second in versions)
    rate = n / statistics.median(second for _, second in versions) / 1e6
    pairs = [(_wall(lambda: draw(2, 4 * n)), _wall(lambda: draw(2, 4 * n, 2))) for _ in range(REPETITIONS)]
    threads = statistics.median(one / two for one, two in pairs)
    return (
        f"Version 2 draws {rate:.0f} M elements a second on one thread, {gain:.1f} times what version 1 draws; "
        f"a second thread makes it {threads:.2f} times faster."
    )


def draw(version: int, n: int, threads: int = 1) -> None:
    """Draw noise and drop it."""
    elements(0, 0, "w", 0, n, version=version, threads=threads)


def _wall(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def main(*, quick: bool) -> str:
    """The section of the benchmark report."""
    torch.set_num_threads(1)
    lines = ["| weights, θ₀ | directions | d̂ | GB/s (read and written) | of a copy, median (least–most) |"]
    lines.append("| --- | --- | --- | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        for dtype in (torch.float32,) if quick else (torch.float32, torch.bfloat16):
            for mapped in (False, True):
                lines += setting(Path(folder), dtype, mapped=mapped)
    return "\n".join([*lines, "", drawing()])
