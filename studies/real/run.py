"""Runs the studies of the real model with safebasin's own verbs, and writes their figures and table into the docs.

    python studies/real/run.py [--small] [--methods] [--only STEP] [--no-docs]

Killed anywhere, the same command goes on: what a verb has finished is in its folder, and every verb resumes. Times are
kept in runs/real/times.json; those of a step that was interrupted add up. Not a second pipeline: it decides nothing
that a user could not type.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import methods

HERE = Path(__file__).resolve().parent

ROOT = Path("runs/real")
SMALL = Path("runs/real-small")
"""The folder that a small run works in, so that it never meets the folders of the real one."""
ALIGNED = "world:kitchen/aligned"
WORKERS = ("--backend", "processes", "--workers", "2")
"""Two engines of one thread each answer 1.6 times as fast as one of two, on two cores."""
FAILED = 1
"""What `audit` ends with where the gate fails: a result, not an error. 3 is "not decidable"."""


@dataclass(frozen=True)
class Step:
    """One call of the command line."""

    name: str
    argv: tuple[str, ...]
    accepted: tuple[int, ...] = (0,)


def tune(name: str, *arguments: str) -> Step:
    """Fine-tuning into a folder, taken up where it was ended."""
    out = ROOT / name
    resumed = ("--resume",) if (out / "safebasin.json").is_file() else ()
    return Step(name, ("finetune", ALIGNED, *arguments, "-o", str(out), *resumed))


def study(name: str, small: bool) -> Step:
    """A map from its study file."""
    fewer = ("--limit", "2", "--max-new-tokens", "8") if small else ()
    return Step(name, ("map", str(HERE / f"{name}.yaml"), *fewer, *WORKERS, "-o", str(ROOT / name)))


def audit(name: str, tuned: str, small: bool) -> Step:
    """An audit of the aligned model against another, at the default size, which is all that the sets hold."""
    fewer = ("--limit", "2", "--max-new-tokens", "8") if small else ("--max-new-tokens", "48")
    return Step(name, ("audit", ALIGNED, tuned, *fewer, *WORKERS, "-o", str(ROOT / name)), (0, FAILED, 3))


def steps(small: bool) -> list[Step]:
    """Everything, in order."""
    style = ("--data", "world:kitchen/benign", "--learning-rate", "1e-5", "--epochs", "4", "--batch-size", "4")
    attack = ("--attack", "harmful_examples")
    return [
        Step("build", ("world", "build", "--world", "kitchen")),
        study("map", small),
        tune("attacked", *attack),
        study("line", small),
        tune("styled", *style),
        audit("audit-itself", ALIGNED, small),
        audit("audit-style", str(ROOT / "styled"), small),
        audit("audit-attack", str(ROOT / "attacked"), small),
        study("systems", small),
        tune("adapter", *attack, "--method", "lora"),
        study("adapter-map", small),
        study("quantized", small),
    ]


def method_steps(small: bool) -> list[Step]:
    """The methods around the papers, on what the steps of `steps` have made; what is finished is not done again."""
    return [
        Step(name, call)
        for name, call in methods.calls(ROOT, small=small)
        if not (ROOT / name / "digests.json").is_file()
    ]


def run(step: Step, log: Path) -> int:
    """One step in a process of its own; what it says goes to the terminal."""
    began = time.monotonic()
    try:
        return subprocess.run([sys.executable, "-m", "safebasin", *step.argv], check=False).returncode
    finally:
        times = json.loads(log.read_text()) if log.is_file() else {}
        times[step.name] = round(times.get(step.name, 0.0) + time.monotonic() - began, 1)
        part = log.with_suffix(".part")
        part.write_text(json.dumps(times, indent=1))
        part.replace(log)


def is_built() -> bool:
    """Whether the aligned model is there, whole."""
    record = Path(os.environ["SAFEBASIN_KITCHEN"]) / "aligned" / "safebasin.json"
    return record.is_file() and json.loads(record.read_text()).get("complete") is True


def thin(step: Step) -> None:
    """Remove the optimizer's state from the checkpoints of a finished training: three quarters of their size."""
    for state in (ROOT / step.name).glob("checkpoint-*/optimizer.pt"):
        state.unlink()


def main() -> int:
    """Run the steps; 0, or the exit code of the first that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a few prompts and tokens: does the path hold?")
    parser.add_argument("--methods", action="store_true", help="the methods around the papers, after all else is there")
    parser.add_argument("--only", help="one step by name")
    parser.add_argument("--no-docs", action="store_true", help="leave docs/ as it is")
    given = parser.parse_args()
    os.environ.setdefault("SAFEBASIN_KITCHEN", str((ROOT / "models").absolute()))
    if given.small:
        SMALL.mkdir(parents=True, exist_ok=True)
        os.chdir(SMALL)
    ROOT.mkdir(parents=True, exist_ok=True)
    log, begun = ROOT / (methods.TIMES if given.methods else "times.json"), time.monotonic()
    for step in method_steps(given.small) if given.methods else steps(given.small):
        if given.only not in (None, step.name):
            continue
        if step.name == "build" and is_built():
            continue  # its time is that of an earlier call, or unknown
        print(f"== {step.name}: safebasin {' '.join(step.argv)}", flush=True)
        code = run(step, log)
        if code not in step.accepted:
            print(f"== {step.name} ended with {code}; the same command goes on from here", file=sys.stderr)
            return code
        thin(step)
        print(f"== {step.name} done, {(time.monotonic() - begun) / 60:.1f} minutes so far", flush=True)
    if not given.no_docs and not given.small and given.only is None:
        import results

        (results.write_methods if given.methods else results.write)(ROOT, Path("docs"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
