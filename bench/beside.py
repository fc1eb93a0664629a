"""Two maps at once against one after the other, each with the threads that it takes by itself."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODEL = "world:guild/aligned"
REPETITIONS = 3


def start(folder: Path, limit: int, seed: int) -> subprocess.Popen[bytes]:
    """A map of the embedded model in a process of its own, with no thread settings but its own."""
    asked = ["--limit", str(limit), "--directions", "1", "--range", "-1.5:1.5:7", "--seed", str(seed)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "MKL_", "KMP_", "GOMP_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "safebasin", "map", MODEL, *asked, "-o", str(folder)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def seconds(limit: int, *, at_once: bool) -> float:
    """The time until both are done."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        running: list[subprocess.Popen[bytes]] = []
        for seed in (0, 1):
            running.append(start(Path(folder) / str(seed), limit, seed))
            if not at_once:
                running[-1].wait()
        if any(process.wait() for process in running):
            sys.exit("a map failed")
        return time.perf_counter() - begun


def main(*, quick: bool) -> str:
    """The section of the benchmark report."""
    limit = 20 if quick else 80
    pairs = [(seconds(limit, at_once=False), seconds(limit, at_once=True)) for _ in range(REPETITIONS)]
    ratios = sorted(both / turns for turns, both in pairs)
    turns, both = (statistics.median(pair[i] for pair in pairs) for i in (0, 1))
    return "\n".join(
        [
            "| two maps of the embedded model | seconds |",
            "| --- | ---: |",
            f"| one after the other | {turns:.1f} |",
            f"| at once | {both:.1f}, {statistics.median(ratios):.2f} times ({ratios[0]:.2f}–{ratios[-1]:.2f}) |",
        ]
    )
