"""`make bench`: every table of docs/benchmarks.md, on this machine; `python bench/run.py --help` names the sections."""

from __future__ import annotations

import argparse
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
    "shares",
    "products",
    "points",
    "beside",
    "judges",
    "refusals",
    "adaptive",
    "fast",
    "stopping",
    "ranking",
    "clusters",
    "database",
    "longrun",
    "plan",
    "coverage",
)


def main(arguments: list[str]) -> None:
    """Run the named sections, or all."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if unknown := set(asked.section) - set(SECTIONS):
        parser.error(f"a section must be one of {', '.join(SECTIONS)}; got {', '.join(sorted(unknown))}.")
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} CPUs, OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']}\n"
    )
    for name in asked.section or SECTIONS:
        print(f"## {name}\n", flush=True)
        if name == "coverage":
            subprocess.run(
                [sys.executable, str(ROOT / "bench/coverage.py"), *(["--quick"] if asked.quick else [])], check=True
            )
        else:
            print(
                section(name, quick=asked.quick, full=asked.full, n_rows=asked.rows, keep=asked.keep) + "\n", flush=True
            )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="The tables of docs/benchmarks.md and docs/performance.md; all of them take hours."
    )
    parser.add_argument("section", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="as small as shows that it runs")
    parser.add_argument("--full", action="store_true", help="of `speed`: every repetition of the published side whole")
    parser.add_argument("--rows", type=int, help="of `database`: responses to write")
    parser.add_argument(
        "--keep", type=Path, help="of `database`: where to make the study, and to find it the next time"
    )
    return parser


def section(name: str, *, quick: bool, full: bool, n_rows: int | None, keep: Path | None) -> str:
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
        longrun,
        memory,
        plan,
        points,
        products,
        ranking,
        refusals,
        scoring,
        shares,
        speed,
        startup,
        stopping,
    )

    if name == "speed":
        return speed.main(quick=quick, full=full)
    if name == "database":
        return database.main(quick=quick, n_rows=n_rows, keep=keep)
    sections = {
        "memory": memory.main,
        "landscape": landscape.main,
        "architectures": architectures.main,
        "scoring": scoring.main,
        "shares": shares.main,
        "points": points.main,
        "products": products.main,
        "beside": beside.main,
        "startup": startup.main,
        "judges": judges.main,
        "refusals": refusals.main,
        "adaptive": adaptive.main,
        "fast": fast.main,
        "stopping": stopping.main,
        "ranking": ranking.main,
        "clusters": clusters.main,
        "longrun": longrun.main,
        "plan": plan.main,
    }
    return sections[name](quick=quick)


if __name__ == "__main__":
    main(sys.argv[1:])
