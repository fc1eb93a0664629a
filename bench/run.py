"""`make bench`: every table of docs/benchmarks.md, on this machine.

python bench/run.py [--quick] [--full] [startup] [memory] [speed] [landscape] [architectures] [scoring] [points]
    [beside] [judges] [refusals] [adaptive] [fast] [ranking] [clusters] [database [--rows N]] [plan] [coverage]
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])


SECTIONS = (
    "startup",
    "memory",
    "speed",
    "landscape",
    "architectures",
    "scoring",
    "points",
    "beside",
    "judges",
    "refusals",
    "adaptive",
    "fast",
    "ranking",
    "clusters",
    "database",
    "plan",
    "coverage",
)


def main(arguments: list[str]) -> None:
    """Run the named sections, or all."""
    quick, full = "--quick" in arguments, "--full" in arguments
    n_rows = int(arguments.pop(arguments.index("--rows") + 1)) if "--rows" in arguments else None
    wanted = [a for a in arguments if not a.startswith("-")] or list(SECTIONS)
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} CPUs, OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']}\n"
    )
    for name in wanted:
        print(f"## {name}\n", flush=True)
        if name == "coverage":
            subprocess.run(
                [sys.executable, str(ROOT / "bench/coverage.py"), *(["--quick"] if quick else [])], check=True
            )
        else:
            print(section(name, quick=quick, full=full, n_rows=n_rows) + "\n", flush=True)


def section(name: str, *, quick: bool, full: bool, n_rows: int | None) -> str:
    """One table."""
    from bench import (
        adaptive,
        architectures,
        beside,
        clusters,
        database,
        fast,
        judges,
        landscape,
        memory,
        plan,
        points,
        ranking,
        refusals,
        scoring,
        speed,
        startup,
    )

    if name == "speed":
        return speed.main(quick=quick, full=full)
    if name == "database":
        return database.main(quick=quick, n_rows=n_rows)
    sections = {
        "memory": memory.main,
        "landscape": landscape.main,
        "architectures": architectures.main,
        "scoring": scoring.main,
        "points": points.main,
        "beside": beside.main,
        "startup": startup.main,
        "judges": judges.main,
        "refusals": refusals.main,
        "adaptive": adaptive.main,
        "fast": fast.main,
        "ranking": ranking.main,
        "clusters": clusters.main,
        "plan": plan.main,
    }
    if name not in sections:
        sys.exit(f"section must be one of {', '.join(SECTIONS)}; got {name!r}.")
    return sections[name](quick=quick)


if __name__ == "__main__":
    main(sys.argv[1:])
