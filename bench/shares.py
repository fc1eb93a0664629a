"""Where the time of a whole run goes: decoding, scoring at θ₀, and calibrating the test of language, by the processor.

A map with the judges that a new study has, of `world:guild/aligned` and, where `SAFEBASIN_KITCHEN` says where it is, of
the real model of `world:kitchen`: as small as that of `scoring`, and as large as that of `landscape`. Once each.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from safebasin import api
from safebasin.engines.hf import HFEngine
from safebasin.run import execute
from safebasin.run.execute import measure

SIZES = ((24, 9, 96), (40, 9, 256))
"""Prompts, points, new tokens."""
PARTS = ("decoding", "scoring", "calibrating")


@contextmanager
def metered() -> Iterator[Counter[str]]:
    """Seconds of the processor by part, filled while the block runs; what a part calls is its own."""
    seconds: Counter[str] = Counter()
    within: list[str] = []

    def timed(part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if within:
                return call(*args, **kwargs)
            within.append(part)
            start = time.process_time()
            try:
                return call(*args, **kwargs)
            finally:
                seconds[part] += time.process_time() - start
                within.pop()

        return wrapped

    with ExitStack() as patches:
        for part, of, name in (
            ("decoding", HFEngine, "generate"),
            ("scoring", HFEngine, "score"),
            ("scoring", HFEngine, "score_prefixes"),
            ("calibrating", execute, "calibrate"),
        ):
            patches.enter_context(mock.patch.object(of, name, timed(part, getattr(of, name))))
        yield seconds


def row(world: str, reach: str, size: tuple[int, int, int]) -> str:
    """One run as a row of the table."""
    n_prompts, n_points, n_tokens = size
    study = api.make_study(
        f"world:{world}/aligned", prompts=f"world:{world}/harmful", limit=n_prompts, directions=1,
        range=f"{reach}:{n_points}", max_new_tokens=n_tokens,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, metered() as seconds:
        start = time.process_time()
        measure(study, Path(folder) / "study")
        whole = time.process_time() - start
    parts = " | ".join(f"{seconds[part]:.1f} ({seconds[part] / whole:.1%})" for part in PARTS)
    told = f"`world:{world}/aligned`, {n_prompts} × {n_points} × {n_tokens}"
    return f"| {told} | {whole:.1f} | {parts} |"


def main(*, quick: bool) -> str:
    """The section of the benchmark report."""
    worlds = [("guild", "-1.5:1.5")] + [("kitchen", "-0.3:0.3")] * bool(os.environ.get("SAFEBASIN_KITCHEN"))
    sizes = ((8, 3, 32),) if quick else SIZES
    lines = [
        f"| run: prompts × points × tokens | processor seconds | {' | '.join(PARTS)} |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    return "\n".join([*lines, *(row(world, reach, size) for world, reach in worlds for size in sizes)])
