"""A run of the command line that goes on for a while: its own memory by time, and what it wrote to its folder and log.

Twelve minutes of the embedded model: 250 lines of 20 points, 16 prompts. Memory is what is the process's alone (USS),
looked at every five seconds; the last sixth holds the report.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

PARTS = 6
PAUSE_S = 5.0


def main(*, quick: bool) -> str:
    """The section of the benchmark report."""
    directions = 4 if quick else 250
    with tempfile.TemporaryDirectory() as folder:
        out, log = Path(folder) / "study", Path(folder) / "log"
        command = [sys.executable, "-m", "safebasin", "map", "world:guild/aligned", "--limit", "16", "--yes"]
        command += ["--directions", str(directions), "--max-new-tokens", "24", "--stop", "verdict", "-o", str(out)]
        with log.open("w") as said:
            seen = _watched(subprocess.Popen(command, stdout=said, stderr=said))
        database = sum(path.stat().st_size for path in out.glob("study.sqlite*")) / 2**20
        n_lines = len(log.read_text().splitlines())
    lines = ["| seconds | memory, MB: median | most |", "| --- | ---: | ---: |"]
    for part in range(PARTS):
        some = seen[part * len(seen) // PARTS : (part + 1) * len(seen) // PARTS]
        held = [size for _, size in some]
        if held:
            lines.append(f"| {some[0][0]:.0f} to {some[-1][0]:.0f} | {statistics.median(held):.0f} | {max(held):.0f} |")
    told = f"{directions} lines; the database has {database:.1f} MB, the log {n_lines} lines."
    return "\n".join([*lines, "", told])


def _watched(process: subprocess.Popen[bytes]) -> list[tuple[float, float]]:
    """Seconds and megabytes of a process until it ends.

    Raises:
        SystemExit: where it ends with an error.
    """
    found: list[tuple[float, float]] = []
    start, watched = time.monotonic(), psutil.Process(process.pid)
    while process.poll() is None:
        try:
            found.append((time.monotonic() - start, watched.memory_full_info().uss / 2**20))
        except psutil.Error:  # it has ended meanwhile
            break
        time.sleep(PAUSE_S)
    if process.wait() != 0:
        raise SystemExit(f"the run ended with {process.returncode}")
    return found
