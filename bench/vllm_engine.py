"""The vLLM engine beside the reference: tokens a second, and seconds a point, by either road to it (`roads`).

Run it in the environment of test-vllm.

    OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 .venv-vllm/bin/python bench/vllm_engine.py

All in one process, one after the other, three rounds in turn; times are the process's own on one thread.
"""

from __future__ import annotations

import os
import statistics
import time

from safebasin import catalog
from safebasin.engines.hf import HFEngine
from safebasin.engines.vllm.engine import VLLMEngine
from safebasin.protocols import Engine
from safebasin.records import Decoding, DirectionSpec, Point

MODEL = "world:guild/aligned"
HOW = Decoding(max_new_tokens=64)
ALPHAS = (0.0, 0.05, -0.05, 0.1, -0.1)


def main() -> None:
    """Print the ratios to the reference, with what they are of."""
    world = catalog.world("guild")
    asked = [p.messages for name in world.prompt_sets for p in world.load_prompts(name)][:80]
    line = DirectionSpec(kind="random", seed=0)
    engines: dict[str, Engine] = {"hf": HFEngine(MODEL, device="cpu"), "vllm": VLLMEngine(MODEL)}
    os.environ["VLLM_PLUGINS"] = ""  # vLLM leaves the package's plugin out, so that weights are reloaded
    engines["vllm, reload"] = VLLMEngine(MODEL)
    moved: dict[str, list[float]] = {name: [] for name in engines}
    rate: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(3):
        for name, engine in engines.items():
            for alpha in ALPHAS:
                start = time.process_time()
                engine.move_to(Point.at((line, alpha)))
                middle = time.process_time()
                tokens = sum(g.n_tokens for g in engine.generate(asked, HOW))
                moved[name].append(middle - start)
                rate[name].append(tokens / (time.process_time() - middle))
    for what, found in (("tokens a second", rate), ("seconds a point", moved)):
        hf, *others = (statistics.median(found[name]) for name in engines)
        for name, other in zip(list(engines)[1:], others, strict=True):
            print(f"{what}: hf {hf:.4g}, {name} {other:.4g}, ratio {other / hf:.3g}")


if __name__ == "__main__":
    main()
